"""What the server does under load, measured from outside. `python -m bench` (Linux).

scenario_room     1,000 viewers and the model's page in one room of the real server, tips arriving
scenario_fan_out  one event to 1,000 members as fast as they take it: our fan-out, and a naive one
scenario_ledger   one hot room: group commit beside one transaction for each settlement
scenario_activation  200 rooms whose tips all move a toy, more of them until a target is missed
scenario_vip_room    one tip to 1,000 toys, and the model's stop, with and without a database
activation_rooms     their rooms, menus and wallets
pages                their pages: join, report toys, ask, play
ledger_stock      the requests that it posts
tip_life          what the client and the audit know of each tip
load              the load client: one epoll loop over raw sockets, which also measures itself
websocket         the client's side of RFC 6455, as little of it as a load client needs
server, peers     the processes under load
room_setup        wallets, tip menu, tokens
placement, meter  which process runs on which core, what each used, what else the machine did
distribution      percentiles
report, picture   results as JSON, as a table, as a picture; report_lines, report_activation

Direction: scenarios -> load, server -> websocket, placement. Nothing here is imported by others.
"""
