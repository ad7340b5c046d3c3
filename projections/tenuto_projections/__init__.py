"""Read models: what people look at. They are made from verified events and can be thrown away and rebuilt at any time.

Reading order: `projection` (the contract and the only loop), `tables`, then any read model (`runs`, `inbox`, `fleet`,
`integrity`, `alerts`: table, apply and queries in one file each), `replay`.
"""
