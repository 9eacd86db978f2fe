"""What touches the world: sockets, HTTP, the database, pages. Imports actors and protocol.

cli         the command line: `tiproom run`
settings    typed, from the environment and TOML; every bad value named at start
app         the one place that wires everything
sockets     accept, handshake, session, outbox, fan-out
http        one blueprint a resource
store       PostgreSQL: the asyncio bridge, the embedded server, migrations, repositories
observe     logs and metrics
web         the pages and the client SDK; no build step
"""
