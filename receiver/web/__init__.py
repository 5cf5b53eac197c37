"""The listeners: providers come to the public one, people to the admin one."""
