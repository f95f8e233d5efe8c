"""The report of a session, made from what the store keeps of it: the document, and its forms for people. Pure."""
