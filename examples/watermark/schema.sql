CREATE TABLE watermarks (
  topic_id TEXT NOT NULL,
  partition INTEGER NOT NULL,
  last_offset BIGINT NOT NULL,
  PRIMARY KEY (topic_id, partition)
);
CREATE TABLE balances (account TEXT PRIMARY KEY, cents BIGINT NOT NULL);
