"""How quick annolog is, as shares of what bare asyncpg does in the same run."""
