"""What is computed: the few operations that every layer is lowered to, and what they act on.

Nothing here knows a layer. `space` numbers the features of a layer; `support` says which of them a
filter reads; `dual` is what a kernel has to know of an activation; `operations` are the operations,
and `program` a sequence of them.
"""
