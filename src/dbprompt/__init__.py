"""dbprompt."""
