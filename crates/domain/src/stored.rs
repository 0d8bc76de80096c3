//! The stored form of states: CBOR, derived with `minicbor` on the types themselves.
//!
//! Fields and values carry numbers; a number never changes its meaning and is never used again. Readers skip fields that they do not know and
//! take an absent `Option` for `None`, so a later version may add optional fields (or fields with `#[cbor(default)]`). An unknown value of an
//! enum is an error. Everything is kept exactly: the scale of decimals, the bits of floats, what is absent.

use minicbor::decode::Error as DecodeError;
use minicbor::encode::{Error as EncodeError, Write};
use minicbor::{Decoder, Encoder};
use smol_str::SmolStr;

/// A value made of texts, which `minicbor` cannot know: `SmolStr` is not its type, nor ours. `#[cbor(with = "stored")]` stores it.
pub(super) trait Stored: Sized {
    fn encode<W: Write>(&self, encoder: &mut Encoder<W>) -> Result<(), EncodeError<W::Error>>;

    fn decode(decoder: &mut Decoder<'_>) -> Result<Self, DecodeError>;

    /// The value of an absent field.
    fn nil() -> Option<Self> {
        None
    }

    fn is_nil(&self) -> bool {
        false
    }
}

pub(super) fn encode<C, T: Stored, W: Write>(
    value: &T,
    encoder: &mut Encoder<W>,
    _: &mut C,
) -> Result<(), EncodeError<W::Error>> {
    value.encode(encoder)
}

pub(super) fn decode<C, T: Stored>(decoder: &mut Decoder<'_>, _: &mut C) -> Result<T, DecodeError> {
    T::decode(decoder)
}

pub(super) fn nil<T: Stored>() -> Option<T> {
    T::nil()
}

pub(super) fn is_nil<T: Stored>(value: &T) -> bool {
    value.is_nil()
}

impl Stored for SmolStr {
    fn encode<W: Write>(&self, encoder: &mut Encoder<W>) -> Result<(), EncodeError<W::Error>> {
        encoder.str(self)?.ok()
    }

    fn decode(decoder: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        decoder.str().map(Self::from)
    }
}

impl<T: Stored> Stored for Option<T> {
    fn encode<W: Write>(&self, encoder: &mut Encoder<W>) -> Result<(), EncodeError<W::Error>> {
        match self {
            Some(value) => value.encode(encoder),
            None => encoder.null()?.ok(),
        }
    }

    fn decode(decoder: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        if decoder.datatype()? == minicbor::data::Type::Null {
            decoder.null()?;
            return Ok(None);
        }
        T::decode(decoder).map(Some)
    }

    fn nil() -> Option<Self> {
        Some(None)
    }

    fn is_nil(&self) -> bool {
        self.is_none()
    }
}

impl<T: Stored> Stored for Vec<T> {
    fn encode<W: Write>(&self, encoder: &mut Encoder<W>) -> Result<(), EncodeError<W::Error>> {
        encoder.array(self.len() as u64)?;
        self.iter().try_for_each(|value| value.encode(encoder))
    }

    fn decode(decoder: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        // Not allocated at once: a damaged record may claim any length.
        let len = array_len(decoder)?;
        (0..len).map(|_| T::decode(decoder)).collect()
    }
}

pub(super) fn array_len(decoder: &mut Decoder<'_>) -> Result<u64, DecodeError> {
    let at = decoder.position();
    decoder.array()?.ok_or_else(|| DecodeError::message("array of unknown length").at(at))
}

/// Lets a type with a stored form of its own stand in tuples with texts.
macro_rules! in_tuples {
    ($name:ident) => {
        impl $crate::stored::Stored for $name {
            fn encode<W: minicbor::encode::Write>(
                &self,
                encoder: &mut minicbor::Encoder<W>,
            ) -> Result<(), minicbor::encode::Error<W::Error>> {
                minicbor::Encode::encode(self, encoder, &mut ())
            }

            fn decode(decoder: &mut minicbor::Decoder<'_>) -> Result<Self, minicbor::decode::Error> {
                minicbor::Decode::decode(decoder, &mut ())
            }
        }
    };
}
pub(super) use in_tuples;

in_tuples!(u64);

macro_rules! stored_tuples {
    ($($len:literal ($($part:ident $index:tt),+))+) => {
        $(impl<$($part: Stored),+> Stored for ($($part,)+) {
            fn encode<W: Write>(&self, encoder: &mut Encoder<W>) -> Result<(), EncodeError<W::Error>> {
                encoder.array($len)?;
                $(self.$index.encode(encoder)?;)+
                Ok(())
            }

            fn decode(decoder: &mut Decoder<'_>) -> Result<Self, DecodeError> {
                let at = decoder.position();
                if array_len(decoder)? != $len {
                    return Err(DecodeError::message(concat!("not a tuple of ", $len)).at(at));
                }
                Ok(($($part::decode(decoder)?,)+))
            }
        })+
    };
}

stored_tuples! { 2 (A 0, B 1) 3 (A 0, B 1, C 2) }

/// Numbers the values of an enum for storage.
///
/// Not derived: when an optional enum has an unknown value, `minicbor`'s derive skips one element too many (2.3, `index_only`).
macro_rules! codes {
    ($name:ident { $($variant:ident = $code:literal),+ $(,)? }) => {
        impl<C> minicbor::Encode<C> for $name {
            fn encode<W: minicbor::encode::Write>(
                &self,
                encoder: &mut minicbor::Encoder<W>,
                _: &mut C,
            ) -> Result<(), minicbor::encode::Error<W::Error>> {
                encoder.u8(match self { $(Self::$variant => $code,)+ })?.ok()
            }
        }

        impl<'b, C> minicbor::Decode<'b, C> for $name {
            fn decode(decoder: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
                let at = decoder.position();
                match decoder.u8()? {
                    $($code => Ok(Self::$variant),)+
                    other => {
                        let text = format!("unknown {} {other}", stringify!($name));
                        Err(minicbor::decode::Error::message(text).at(at))
                    }
                }
            }
        }
    };
}
pub(super) use codes;

/// Stores a code as its text and reads it with the type's own `parse`.
macro_rules! as_text {
    ($name:ident) => {
        impl<C> minicbor::Encode<C> for $name {
            fn encode<W: minicbor::encode::Write>(
                &self,
                encoder: &mut minicbor::Encoder<W>,
                _: &mut C,
            ) -> Result<(), minicbor::encode::Error<W::Error>> {
                encoder.str(self.as_str())?.ok()
            }
        }

        impl<'b, C> minicbor::Decode<'b, C> for $name {
            fn decode(decoder: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
                let at = decoder.position();
                let text = decoder.str()?;
                Self::parse(text)
                    .ok_or_else(|| minicbor::decode::Error::message(format!("{} {text:?}", stringify!($name))).at(at))
            }
        }
    };
}
pub(super) use as_text;
