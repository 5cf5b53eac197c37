"""What knows a third party: providers whose callbacks come in, sinks where events go out."""
