"""One file a page: it asks one question and draws the answer. No SQL, no hashing, no rules in here."""
