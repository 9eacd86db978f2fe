"""What the server does under load, measured from outside. `python -m bench` (Linux).

scenario_room     1,000 viewers and the model's page in one room of the real server, tips arriving
scenario_ledger   one hot room: group commit beside one transaction for each settlement
scenario_activation  200 rooms whose tips all move a toy, more of them until a target is missed
scenario_vip_room    one tip to 1,000 toys, and the model's stop, with and without a database
scenario_stage    purchases with escrow, performances and thanks over 100 rooms
scenario_busy_room   everyone watches, some come and go: how long from a tip to its command

The comparison, the same load on every server:
scenario_fan_out  messages to everyone, as fast as the server can
scenario_latency  from one member to another
scenario_storm    everybody connects at once
scenario_memory   one more idle member
comparison        rounds in turn, medians, ratios
soak              `python -m bench.soak`: thousands of members for minutes on end
scenario_soak, soak_members   what they do; those who act, over the Python client
trend             whether a series grows, and how sure that is

contenders        the servers: how each is started and spoken with
peers, native     their scripts; the load client and the limit, in C
crowd             the load client in C, driven
goals             what is aimed at, beside what was measured

activation_rooms     their rooms, menus and wallets
stage_rooms          the rooms of scenario_stage
pages                their pages: join, report toys, ask, play
http_calls           requests over HTTP in the same loop
ledger_stock      the requests that it posts
tip_life          what the client and the audit know of each tip
load              a load client that understands frames; it also measures itself
client            a member's connection in Python, as a page has it: for those who act
websocket         the client's side of RFC 6455, as little of it as a load client needs
server            the processes under load
room_setup        wallets, tip menu, tokens
placement, meter  which process runs on which core, what each used, what else the machine did
distribution      percentiles, spreads
report, picture   results as JSON, as a table, as a picture; report_..., picture_...

Direction: scenarios -> load, server -> websocket, placement. Nothing here is imported by others.
"""
