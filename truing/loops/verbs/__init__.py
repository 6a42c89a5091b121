"""What a recipe's steps can do: one file a verb. The table is `truing.loops.verbs.table.VERBS`."""
