//! Object ids as people write them.

use std::str::FromStr;

use plasmad_client::{ObjectId, id};

/// 56 hex digits, or `name:TEXT`.
#[derive(Clone, Copy, Debug)]
pub(super) struct IdArgument(pub(super) ObjectId);

impl FromStr for IdArgument {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(name) = text.strip_prefix("name:") {
            return Ok(Self(id::from_name(name)));
        }
        match ObjectId::from_hex(text) {
            Some(id) if !id.is_zero() => Ok(Self(id)),
            Some(_) => Err("the id of all zeros names nothing".to_owned()),
            None => Err(format!("{text:?} is no id: write 56 hex digits, or name:{text}")),
        }
    }
}
