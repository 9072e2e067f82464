"""Ten labelers, half of them bad: how soon they are found out, and what their labels cost."""
