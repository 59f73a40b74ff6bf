"""Every table and figure of the paper, printed again from networks anyone can train."""
