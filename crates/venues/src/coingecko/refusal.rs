//! An object in place of a list or chart: an error.

use smol_str::format_smolstr;

use super::super::venue::VenueError;
use super::super::wire::{Kind, Reader, Scalar};

/// `{"status":{"error_code":429,"error_message":"…"}}` and `{"error":"coin not found"}`.
pub(super) fn error_of(reader: &mut Reader<'_>) -> VenueError {
    let mut code = Scalar::Missing;
    let mut text_seen = false;
    let walked = reader.object(|reader, key| match key {
        b"status" if reader.kind()? == Kind::Object => reader.object(|reader, key| {
            let value = reader.scalar()?;
            if key == b"error_code" {
                code = value;
            }
            Ok(())
        }),
        b"error" => {
            text_seen = true;
            reader.skip()
        }
        _ => reader.skip(),
    });
    match (walked, code.integer()) {
        (Err(error), _) => error.into(),
        (Ok(()), Ok(Some(429))) => VenueError::RateLimited { retry_after: None },
        (Ok(()), Ok(Some(code))) if code >= 500 => VenueError::Transient(format_smolstr!("error code {code}")),
        (Ok(()), Ok(Some(code))) => VenueError::Rejected(format_smolstr!("error code {code}")),
        _ if text_seen => VenueError::Rejected("the listing refuses the request".into()),
        _ => VenueError::Malformed("expected a list".into()),
    }
}
