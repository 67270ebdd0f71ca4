//! Writing and reading values: a version byte, then fields in order.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::RowError;

/// A value with a version byte before its fields.
pub trait RowValue: Sized {
    /// What errors call it.
    const NAME: &'static str;
    /// Version of the layout that is written. Reading covers all versions up to it.
    const VERSION: u8 = 1;

    /// Writes the fields.
    fn write(&self, fields: &mut Fields);

    /// Reads the fields as `version` laid them out.
    fn read(version: u8, fields: &mut FieldReader<'_>) -> Result<Self, RowError>;

    /// The bytes to store.
    fn encode(&self) -> Vec<u8> {
        let mut fields = Fields { bytes: vec![Self::VERSION] };
        self.write(&mut fields);
        fields.bytes
    }

    /// The value in `bytes`, all of which must be used.
    ///
    /// # Errors
    /// [`RowError::Newer`] for a version above [`RowValue::VERSION`], [`RowError::Corrupt`] for anything else.
    fn decode(bytes: &[u8]) -> Result<Self, RowError> {
        let mut reader = FieldReader::of_value(Self::NAME, bytes);
        let version = u8::from_be_bytes(reader.array()?);
        if version == 0 {
            return Err(reader.corrupt("version 0"));
        }
        if version > Self::VERSION {
            return Err(RowError::Newer { row: Self::NAME, found: version, supported: Self::VERSION });
        }
        let value = Self::read(version, &mut reader)?;
        if !reader.bytes.is_empty() {
            return Err(reader.corrupt("bytes after the last field"));
        }
        Ok(value)
    }
}

/// Fields being written.
#[derive(Debug, Default)]
pub struct Fields {
    bytes: Vec<u8>,
}

impl Fields {
    /// Makes room for what will be written, bytes.
    pub(super) fn reserve(&mut self, bytes: usize) {
        self.bytes.reserve(bytes);
    }
    pub(super) fn array<const N: usize>(&mut self, field: [u8; N]) {
        self.bytes.extend_from_slice(&field);
    }
    pub(super) fn i16(&mut self, field: i16) {
        self.array(field.to_be_bytes());
    }
    pub(super) fn i32(&mut self, field: i32) {
        self.array(field.to_be_bytes());
    }
    pub(super) fn u32(&mut self, field: u32) {
        self.array(field.to_be_bytes());
    }
    pub(super) fn i64(&mut self, field: i64) {
        self.array(field.to_be_bytes());
    }
    pub(super) fn u64(&mut self, field: u64) {
        self.array(field.to_be_bytes());
    }
    pub(super) fn flag(&mut self, flag: bool) {
        self.array([u8::from(flag)]);
    }
    pub(super) fn count(&mut self, count: usize) {
        self.u32(u32::try_from(count).expect("a row holds fewer than 2^32 items"));
    }
    pub(super) fn text(&mut self, text: &str) {
        self.count(text.len());
        self.bytes.extend_from_slice(text.as_bytes());
    }
    pub(super) fn optional_text(&mut self, text: Option<&str>) {
        self.flag(text.is_some());
        if let Some(text) = text {
            self.text(text);
        }
    }
    pub(super) fn blob(&mut self, blob: &[u8]) {
        self.count(blob.len());
        self.bytes.extend_from_slice(blob);
    }
    /// The place of `value` among `values`, one byte.
    pub(super) fn number_of<T: PartialEq>(&mut self, values: &[T], value: T) {
        let number = values.iter().position(|one| *one == value).expect("all values are listed");
        self.array([u8::try_from(number).expect("lists are short")]);
    }
    pub(super) fn texts(&mut self, texts: &BTreeMap<String, String>) {
        self.count(texts.len());
        for (name, text) in texts {
            self.text(name);
            self.text(text);
        }
    }
}

/// Fields being read, of a key or a value.
#[derive(Debug)]
pub struct FieldReader<'a> {
    row: &'static str,
    bytes: &'a [u8],
}

impl<'a> FieldReader<'a> {
    /// Reads a key whose first byte must be `prefix`.
    pub(super) fn of_key(row: &'static str, prefix: u8, key: &'a [u8]) -> Result<Self, RowError> {
        let mut reader = Self { row, bytes: key };
        if reader.array()? == [prefix] { Ok(reader) } else { Err(reader.corrupt("key of another kind of row")) }
    }
    pub(super) fn of_value(row: &'static str, bytes: &'a [u8]) -> Self {
        Self { row, bytes }
    }
    pub(super) fn end(&self) -> Result<(), RowError> {
        if self.bytes.is_empty() { Ok(()) } else { Err(self.corrupt("key too long")) }
    }
    pub(super) fn corrupt(&self, detail: &'static str) -> RowError {
        RowError::Corrupt { row: self.row, detail }
    }
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], RowError> {
        let (field, rest) = self.bytes.split_first_chunk::<N>().ok_or_else(|| self.corrupt("too short"))?;
        self.bytes = rest;
        Ok(*field)
    }
    pub(super) fn u8(&mut self) -> Result<u8, RowError> {
        Ok(u8::from_be_bytes(self.array()?))
    }
    pub(super) fn u16(&mut self) -> Result<u16, RowError> {
        Ok(u16::from_be_bytes(self.array()?))
    }
    pub(super) fn i16(&mut self) -> Result<i16, RowError> {
        Ok(i16::from_be_bytes(self.array()?))
    }
    pub(super) fn i32(&mut self) -> Result<i32, RowError> {
        Ok(i32::from_be_bytes(self.array()?))
    }
    pub(super) fn u32(&mut self) -> Result<u32, RowError> {
        Ok(u32::from_be_bytes(self.array()?))
    }
    pub(super) fn i64(&mut self) -> Result<i64, RowError> {
        Ok(i64::from_be_bytes(self.array()?))
    }
    pub(super) fn u64(&mut self) -> Result<u64, RowError> {
        Ok(u64::from_be_bytes(self.array()?))
    }
    pub(super) fn flag(&mut self) -> Result<bool, RowError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(self.corrupt("flag is neither 0 nor 1")),
        }
    }
    /// As [`Fields::number_of`].
    pub(super) fn one_of<T: Copy>(&mut self, values: &[T]) -> Result<T, RowError> {
        let number = self.u8()?;
        values.get(usize::from(number)).copied().ok_or_else(|| self.corrupt("number without a meaning"))
    }
    /// An offset or id of a key, which key order demands to be ≥ 0.
    pub(super) fn non_negative(&mut self) -> Result<i64, RowError> {
        let number = self.i64()?;
        if number < 0 { Err(self.corrupt("negative number")) } else { Ok(number) }
    }
    /// A count of items of at least `item_bytes_min` bytes each, so that no count reserves more memory than bytes are there.
    pub(super) fn count(&mut self, item_bytes_min: usize) -> Result<usize, RowError> {
        let count = usize::try_from(self.u32()?).map_err(|_| self.corrupt("count too large"))?;
        if count > self.bytes.len() / item_bytes_min { Err(self.corrupt("count too large")) } else { Ok(count) }
    }
    pub(super) fn take(&mut self, length: usize) -> Result<&'a [u8], RowError> {
        let (field, rest) = self.bytes.split_at_checked(length).ok_or_else(|| self.corrupt("too short"))?;
        self.bytes = rest;
        Ok(field)
    }
    pub(super) fn text_of(&mut self, length: usize) -> Result<String, RowError> {
        let bytes = self.take(length)?;
        std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| self.corrupt("text is not UTF-8"))
    }
    pub(super) fn text(&mut self) -> Result<String, RowError> {
        let length = self.count(1)?;
        self.text_of(length)
    }
    pub(super) fn optional_text(&mut self) -> Result<Option<String>, RowError> {
        if self.flag()? { self.text().map(Some) } else { Ok(None) }
    }
    pub(super) fn blob(&mut self) -> Result<Bytes, RowError> {
        let length = self.count(1)?;
        self.take(length).map(Bytes::copy_from_slice)
    }
    pub(super) fn texts(&mut self) -> Result<BTreeMap<String, String>, RowError> {
        let count = self.count(8)?;
        (0..count).map(|_| Ok((self.text()?, self.text()?))).collect()
    }
}
