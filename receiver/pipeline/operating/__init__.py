"""Operating: what an operator or the calendar does to what is stored - read again, deliver again, erase, retire."""
