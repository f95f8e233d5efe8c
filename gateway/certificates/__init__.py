"""A private CA for mutual TLS between gateways and workers: certificates of many hosts from one key."""
