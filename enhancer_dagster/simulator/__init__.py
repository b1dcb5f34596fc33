"""A stand-in for the v3 API of ServiceDesk Plus, on premises and cloud: for the demo, tests, any client.

It holds everything in memory and is held to the recorded answers in `fixtures/servicedesk`. `server.run`
serves it, `server.running_simulator` does so inside a test.
"""
