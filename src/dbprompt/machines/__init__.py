"""What follows from machines by arithmetic: connections, server settings, availability, storage, cost, places.

Pure figures from typed data, each with the formula that it comes from. Nothing here is asked of a model.
"""
