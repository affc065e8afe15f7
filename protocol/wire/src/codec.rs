//! Little-endian values in and out of bytes; the one place that decides what a well-formed body is.
//!
//! A body is decoded whole: missing bytes and bytes left over are both errors, and no count read from the wire
//! reserves more memory than the bytes that came with it could fill.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use byteorder::{ByteOrder, LittleEndian};

use crate::limits::{ITEMS_MAX, TEXT_BYTES_MAX};
use crate::value::ObjectId;

/// What is wrong with a body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DecodeError {
    /// The body ends in the middle of a value.
    Truncated,
    /// Bytes are left over behind the last value.
    TrailingBytes,
    /// A value that its field doesn't know.
    BadValue(&'static str),
    /// A count or a length above its limit.
    TooMany(&'static str),
}

impl fmt::Display for DecodeError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => out.write_str("the body ends in the middle of a value"),
            Self::TrailingBytes => out.write_str("bytes are left over behind the last value"),
            Self::BadValue(what) => write!(out, "{what} has a value that is not defined"),
            Self::TooMany(what) => write!(out, "{what} is above its limit"),
        }
    }
}

impl core::error::Error for DecodeError {}

/// A value with one encoding.
pub trait Wire: Sized {
    /// The fewest bytes a value takes; bounds what a count may reserve.
    const BYTES_MIN: usize;

    /// Appends the value.
    fn encode(&self, out: &mut Vec<u8>);

    /// Takes the value off the front of `body`.
    fn decode(body: &mut Reader<'_>) -> Result<Self, DecodeError>;
}

/// Decodes a whole body: every byte must belong to the value.
pub fn decode_all<T: Wire>(body: &[u8]) -> Result<T, DecodeError> {
    let mut reader = Reader { rest: body };
    let value = T::decode(&mut reader)?;
    match reader.rest {
        [] => Ok(value),
        _ => Err(DecodeError::TrailingBytes),
    }
}

/// What is left of a body.
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, bytes: usize) -> Result<&'a [u8], DecodeError> {
        let (head, rest) = self.rest.split_at_checked(bytes).ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(head)
    }
}

impl Wire for u8 {
    const BYTES_MIN: usize = 1;

    fn encode(&self, out: &mut Vec<u8>) {
        out.push(*self);
    }

    fn decode(body: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(body.take(1)?[0])
    }
}

macro_rules! integers {
    ($($int:ty, $read:ident;)*) => {$(
        impl Wire for $int {
            const BYTES_MIN: usize = size_of::<$int>();

            fn encode(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }

            fn decode(body: &mut Reader<'_>) -> Result<Self, DecodeError> {
                Ok(LittleEndian::$read(body.take(size_of::<$int>())?))
            }
        }
    )*};
}

integers! {
    u16, read_u16;
    u32, read_u32;
    u64, read_u64;
}

impl<const N: usize> Wire for [u8; N] {
    const BYTES_MIN: usize = N;

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }

    fn decode(body: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut value = [0; N];
        value.copy_from_slice(body.take(N)?);
        Ok(value)
    }
}

/// The all-zero id is refused here, so that no verb ever meets it.
impl Wire for ObjectId {
    const BYTES_MIN: usize = Self::BYTES;

    fn encode(&self, out: &mut Vec<u8>) {
        self.as_bytes().encode(out);
    }

    fn decode(body: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let id = Self::new(<[u8; Self::BYTES]>::decode(body)?);
        if id.is_zero() { Err(DecodeError::BadValue("object id")) } else { Ok(id) }
    }
}

/// A count in 32 bits, then the items.
impl<T: Wire> Wire for Vec<T> {
    const BYTES_MIN: usize = 4;

    fn encode(&self, out: &mut Vec<u8>) {
        (self.len() as u32).encode(out);
        self.iter().for_each(|item| item.encode(out));
    }

    fn decode(body: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let count = u32::decode(body)?;
        if count > ITEMS_MAX {
            return Err(DecodeError::TooMany("item count"));
        }
        let count = count as usize;
        if count > body.rest.len() / T::BYTES_MIN.max(1) {
            return Err(DecodeError::Truncated);
        }
        let mut items = Vec::with_capacity(count);
        for _ in 0..count {
            items.push(T::decode(body)?);
        }
        Ok(items)
    }
}

/// Raw bytes behind a 32-bit length: an inline object's data or metadata.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Blob(pub Vec<u8>);

impl Wire for Blob {
    const BYTES_MIN: usize = 4;

    fn encode(&self, out: &mut Vec<u8>) {
        (self.0.len() as u32).encode(out);
        out.extend_from_slice(&self.0);
    }

    fn decode(body: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let bytes = u32::decode(body)? as usize;
        Ok(Self(body.take(bytes)?.to_vec()))
    }
}

/// UTF-8 behind a 16-bit length.
impl Wire for String {
    const BYTES_MIN: usize = 2;

    /// Text above its limit is cut at a character: it is for people, and a cut sentence beats a lost answer.
    fn encode(&self, out: &mut Vec<u8>) {
        let mut bytes = self.len().min(TEXT_BYTES_MAX);
        while !self.is_char_boundary(bytes) {
            bytes -= 1;
        }
        (bytes as u16).encode(out);
        out.extend_from_slice(&self.as_bytes()[..bytes]);
    }

    fn decode(body: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let bytes = u16::decode(body)? as usize;
        if bytes > TEXT_BYTES_MAX {
            return Err(DecodeError::TooMany("text length"));
        }
        let text = core::str::from_utf8(body.take(bytes)?);
        text.map(String::from).map_err(|_| DecodeError::BadValue("text"))
    }
}

/// One byte that says whether a value follows.
impl<T: Wire> Wire for Option<T> {
    const BYTES_MIN: usize = 1;

    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            None => out.push(0),
            Some(value) => {
                out.push(1);
                value.encode(out);
            }
        }
    }

    fn decode(body: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match u8::decode(body)? {
            0 => Ok(None),
            1 => Ok(Some(T::decode(body)?)),
            _ => Err(DecodeError::BadValue("presence byte")),
        }
    }
}

impl Wire for bool {
    const BYTES_MIN: usize = 1;

    fn encode(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }

    fn decode(body: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match u8::decode(body)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(DecodeError::BadValue("flag byte")),
        }
    }
}

/// Defines a struct whose encoding is its fields, in the order they are written down.
macro_rules! message {
    ($(#[$doc:meta])* pub struct $name:ident { $($(#[$field_doc:meta])* pub $field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Debug)]
        pub struct $name { $($(#[$field_doc])* pub $field: $type,)* }

        impl $crate::codec::Wire for $name {
            const BYTES_MIN: usize = 0 $(+ <$type as $crate::codec::Wire>::BYTES_MIN)*;

            fn encode(&self, _out: &mut ::alloc::vec::Vec<u8>) {
                $($crate::codec::Wire::encode(&self.$field, _out);)*
            }

            fn decode(_body: &mut $crate::codec::Reader<'_>) -> Result<Self, $crate::codec::DecodeError> {
                Ok(Self { $($field: $crate::codec::Wire::decode(_body)?,)* })
            }
        }
    };
}

/// Defines an enum of one byte (or two) on the wire; a number it doesn't list is refused.
macro_rules! code {
    ($(#[$doc:meta])* pub enum $name:ident: $int:ty { $($(#[$variant_doc:meta])* $variant:ident = $number:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr($int)]
        pub enum $name { $($(#[$variant_doc])* $variant = $number,)* }

        impl $name {
            /// Every value, in the order of its numbers.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The value behind a number.
            pub fn from_number(number: $int) -> Option<Self> {
                match number {
                    $($number => Some(Self::$variant),)*
                    _ => None,
                }
            }
        }

        impl $crate::codec::Wire for $name {
            const BYTES_MIN: usize = size_of::<$int>();

            fn encode(&self, out: &mut ::alloc::vec::Vec<u8>) {
                (*self as $int).encode(out);
            }

            fn decode(body: &mut $crate::codec::Reader<'_>) -> Result<Self, $crate::codec::DecodeError> {
                let number = <$int as $crate::codec::Wire>::decode(body)?;
                Self::from_number(number).ok_or($crate::codec::DecodeError::BadValue(stringify!($name)))
            }
        }
    };
}

pub(crate) use {code, message};
