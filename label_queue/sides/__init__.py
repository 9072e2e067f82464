"""What each of the three who call the label queue can ask of it: policy loop, people, owner.

Every public method is a coroutine, so that the same object can be called here or, by
`protocol.remote.side_of`, from another process.
"""
