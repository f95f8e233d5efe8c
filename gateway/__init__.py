"""The TalkUp gateway: WebSocket JSON on one side, the gRPC worker contract on the other."""
