"""Who may use the gateway, and for how much: API keys, tokens, and the shares of those who hold them."""
