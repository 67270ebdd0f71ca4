//! SQLite or PostgreSQL, whichever DATABASE_URL names.

use std::time::Duration;

use crate::{Result, setting};

/// Each statement is a transaction of its own, but between `begin` and `commit`.
pub enum Database {
    Sqlite(rusqlite::Connection),
    Postgres(Box<postgres::Client>),
}

/// What both take as a parameter.
pub trait Value: rusqlite::ToSql + postgres::types::ToSql + Sync {}
impl<T: rusqlite::ToSql + postgres::types::ToSql + Sync> Value for T {}
type Values<'a> = &'a [&'a dyn Value];

impl Database {
    /// To sqlite:PATH or postgresql://USER@HOST:PORT/NAME.
    pub fn connect() -> Result<Self> {
        let url = setting("DATABASE_URL");
        let Some(path) = url.strip_prefix("sqlite:") else {
            return Ok(Self::Postgres(postgres::Client::connect(&url, postgres::NoTls)?.into()));
        };
        let connection = rusqlite::Connection::open(path)?;
        connection.busy_timeout(Duration::from_secs(30))?;
        Ok(Self::Sqlite(connection))
    }

    /// SQLite: takes the lock for writing at once. PostgreSQL: at READ COMMITTED, its default.
    pub fn begin(&mut self) -> Result<()> {
        match self {
            Self::Sqlite(connection) => connection.execute_batch("BEGIN IMMEDIATE")?,
            Self::Postgres(client) => client.batch_execute("BEGIN")?,
        }
        Ok(())
    }

    pub fn commit(&mut self) -> Result<()> {
        match self {
            Self::Sqlite(connection) => connection.execute_batch("COMMIT")?,
            Self::Postgres(client) => client.batch_execute("COMMIT")?,
        }
        Ok(())
    }

    /// How many rows it changed.
    pub fn update(&mut self, sql: &str, values: Values) -> Result<u64> {
        Ok(match self {
            Self::Sqlite(connection) => connection.execute(sql, rusqlite::params_from_iter(values))? as u64,
            Self::Postgres(client) => client.execute(sql, &for_postgres(values))?,
        })
    }

    /// The number in the first column of the first row.
    pub fn query(&mut self, sql: &str, values: Values) -> Result<Option<i64>> {
        Ok(match self {
            Self::Sqlite(connection) => {
                let mut statement = connection.prepare(sql)?;
                let mut rows = statement.query(rusqlite::params_from_iter(values))?;
                rows.next()?.map(|row| row.get(0)).transpose()?
            }
            Self::Postgres(client) => client.query_opt(sql, &for_postgres(values))?.map(|row| row.get(0)),
        })
    }
}

fn for_postgres<'a>(values: Values<'a>) -> Vec<&'a (dyn postgres::types::ToSql + Sync)> {
    values.iter().map(|value| *value as &(dyn postgres::types::ToSql + Sync)).collect()
}
