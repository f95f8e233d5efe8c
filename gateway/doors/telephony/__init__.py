"""Telephone calls: Twilio Media Streams, and sockets of raw samples as Vonage, Asterisk and others send them."""
