-- Stands for what knows no transactions with others, as a payment provider: it can be told, and asked.
CREATE TABLE done (job TEXT NOT NULL, owner TEXT NOT NULL);
