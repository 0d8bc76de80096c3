//! temp
use super::{Response, VenueError};
/// temp
pub fn check(response: &Response) -> Result<(), VenueError> {
    let _ = response;
    Ok(())
}
