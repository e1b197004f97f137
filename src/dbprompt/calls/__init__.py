"""One call: who is asked, how often, within what bounds."""
