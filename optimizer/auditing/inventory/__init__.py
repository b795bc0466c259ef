"""Reports about inventories (``cluster:``): the report read once for each node group, and figures of all groups together."""
