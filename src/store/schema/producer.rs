//! State of a producer in a partition.

use super::RowError;
use super::value::{FieldReader, Fields, RowValue};
use crate::producer::{ProducerState, WINDOW_BATCHES, WindowBatch};
use crate::types::ProducerEpoch;

const WINDOW_BATCH_BYTES: usize = 25;

impl RowValue for ProducerState {
    const NAME: &'static str = "producer";

    fn write(&self, fields: &mut Fields) {
        fields.i16(self.epoch.0);
        fields.i32(self.coordinator_epoch);
        fields.i64(self.last_timestamp);
        fields.i64(self.open_transaction.unwrap_or(-1));
        fields.count(self.window.len());
        for batch in self.window.iter() {
            fields.i32(batch.first_sequence);
            fields.i32(batch.offset_delta);
            fields.i64(batch.last_offset);
            fields.i64(batch.timestamp);
            fields.flag(batch.aborted);
        }
    }

    fn read(_: u8, fields: &mut FieldReader<'_>) -> Result<Self, RowError> {
        let epoch = ProducerEpoch(fields.i16()?);
        let coordinator_epoch = fields.i32()?;
        let last_timestamp = fields.i64()?;
        let open_transaction = Some(fields.i64()?).filter(|&offset| offset >= 0);
        let count = fields.count(WINDOW_BATCH_BYTES)?;
        if count > WINDOW_BATCHES {
            return Err(fields.corrupt("window too long"));
        }
        let window = (0..count).map(|_| read_batch(fields)).collect::<Result<_, RowError>>()?;
        Ok(Self { epoch, coordinator_epoch, last_timestamp, open_transaction, window })
    }
}

fn read_batch(fields: &mut FieldReader<'_>) -> Result<WindowBatch, RowError> {
    Ok(WindowBatch {
        first_sequence: fields.i32()?,
        offset_delta: fields.i32()?,
        last_offset: fields.i64()?,
        timestamp: fields.i64()?,
        aborted: fields.flag()?,
    })
}
