"""How fast each queue sink drains waiting events, against its client library's own fastest confirmed loop."""
