"""Ways to run TalkUp: on a developer's machine (`deploy.dev`), in containers (`deploy/docker`)."""
