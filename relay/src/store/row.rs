//! Reading typed columns.

use core::str::FromStr;

use nacre_protocol::encoding::from_base64url;
use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::StoreError;

/// Typed columns of a row.
pub(super) trait RowExt {
    /// Text that parses.
    fn parsed<T: FromStr>(&self, column: &'static str) -> Result<T, StoreError>;
    /// Text that parses, or null.
    fn parsed_opt<T: FromStr>(&self, column: &'static str) -> Result<Option<T>, StoreError>;
    /// Text or null.
    fn text_opt(&self, column: &'static str) -> Result<Option<String>, StoreError>;
    /// A number that is not negative.
    fn number<T: TryFrom<i64>>(&self, column: &'static str) -> Result<T, StoreError>;
    /// The same, or null.
    fn number_opt<T: TryFrom<i64>>(&self, column: &'static str) -> Result<Option<T>, StoreError>;
    /// Bytes, kept as base64url.
    fn bytes(&self, column: &'static str) -> Result<Vec<u8>, StoreError>;
    /// The same, or null.
    fn bytes_opt(&self, column: &'static str) -> Result<Option<Vec<u8>>, StoreError>;
    /// True or false, kept as 1 or 0.
    fn flag(&self, column: &'static str) -> Result<bool, StoreError>;
}

impl RowExt for AnyRow {
    fn parsed<T: FromStr>(&self, column: &'static str) -> Result<T, StoreError> {
        self.parsed_opt(column)?.ok_or(StoreError::Corrupt(column))
    }

    fn parsed_opt<T: FromStr>(&self, column: &'static str) -> Result<Option<T>, StoreError> {
        let parse = |text: String| text.parse().map_err(|_| StoreError::Corrupt(column));
        self.text_opt(column)?.map(parse).transpose()
    }

    fn text_opt(&self, column: &'static str) -> Result<Option<String>, StoreError> {
        Ok(self.try_get(column)?)
    }

    fn number<T: TryFrom<i64>>(&self, column: &'static str) -> Result<T, StoreError> {
        self.number_opt(column)?.ok_or(StoreError::Corrupt(column))
    }

    fn number_opt<T: TryFrom<i64>>(&self, column: &'static str) -> Result<Option<T>, StoreError> {
        let number: Option<i64> = self.try_get(column)?;
        let convert = |number| T::try_from(number).map_err(|_| StoreError::Corrupt(column));
        number.map(convert).transpose()
    }

    fn bytes(&self, column: &'static str) -> Result<Vec<u8>, StoreError> {
        self.bytes_opt(column)?.ok_or(StoreError::Corrupt(column))
    }

    fn bytes_opt(&self, column: &'static str) -> Result<Option<Vec<u8>>, StoreError> {
        let decode = |text: String| from_base64url(&text).map_err(|_| StoreError::Corrupt(column));
        self.text_opt(column)?.map(decode).transpose()
    }

    fn flag(&self, column: &'static str) -> Result<bool, StoreError> {
        Ok(self.number::<i64>(column)? != 0)
    }
}
