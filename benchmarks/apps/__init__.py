"""Small applications that are measured beside the service. They are programs, not a library."""
