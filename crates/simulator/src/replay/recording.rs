//! Finding the files of a recording, and what each of them is.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use smol_str::SmolStr;

use super::reading::{self, Body};
use super::undated_time;
use crossmarket_domain::{Instrument, Timestamp};
use crossmarket_venues::{Frame, REGISTRY, StreamingVenue, Venue, envelope};

/// Length of one HTTP body at most, in bytes: the collector reads no longer ones.
const BODY_BYTES_MAX: usize = 16 << 20;

/// Length of one file of frames at most, in bytes.
const FRAMES_BYTES_MAX: u64 = 256 << 20;

/// Length of one frame at most, in bytes: the collector reads no longer ones.
const FRAME_BYTES_MAX: usize = 1 << 20;

/// Directories below a venue's at most, one in another.
const DEPTH_MAX: usize = 8;

/// Frames of one file that are named one by one when they are refused; the others are counted.
const FRAMES_NAMED_MAX: usize = 10;

/// What tells a futures venue's files in the directory of its spot sibling.
const DERIVATIVE_WORDS: [&str; 2] = ["fapi", "futures"];

/// A recording that was read.
pub struct Recording {
    /// Every file, and every frame, that is not replayed, and why; whole directories that belong to no venue are one entry.
    pub refused: Vec<Refused>,
    pub(super) venues: Vec<RecordedVenue>,
}

/// Something that is not replayed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The file, below the recording's directory; for a frame with `:` and its line.
    pub file: String,
    /// Why.
    pub reason: String,
}

/// A recording that cannot be read at all.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// A directory or file cannot be read.
    #[error("{path} cannot be read: {source}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Nothing in it can be replayed.
    #[error("no recorded answer of a known venue in it")]
    Empty,
}

/// What was recorded of one venue.
pub(super) struct RecordedVenue {
    pub venue: &'static dyn Venue,
    /// The oldest first.
    pub bodies: Vec<Body>,
    /// The oldest first.
    pub frames: Vec<String>,
    /// The instruments that the frames are about.
    pub streamed: Vec<Instrument>,
}

impl Recording {
    /// Reads the recording in `directory`.
    ///
    /// # Errors
    ///
    /// When a directory or file cannot be read, or nothing in it can be replayed. A file that makes no sense is no error: it is refused.
    pub fn read(directory: &Path) -> Result<Self, RecordingError> {
        let mut refused = Vec::new();
        let mut files_by_venue: BTreeMap<usize, Vec<PathBuf>> = BTreeMap::new();
        for entry in entries(directory)? {
            let name = name_of(&entry);
            let files = if entry.is_dir() { files_below(&entry)? } else { vec![entry] };
            for file in &files {
                if let Some(place) = venue_place(&name, directory, file) {
                    files_by_venue.entry(place).or_default().push(file.clone());
                }
            }
            if !REGISTRY.iter().any(|venue| directory_of(*venue, directory) == name) {
                let reason = format!("not the directory of a known venue ({} files)", files.len());
                refused.push(Refused { file: name, reason });
            }
        }
        let mut venues = Vec::new();
        for (place, files) in files_by_venue {
            let Some(venue) = REGISTRY.get(place) else { continue };
            let mut reader = Reader {
                root: directory,
                venue: *venue,
                refused: &mut refused,
                bodies: Vec::new(),
                frames: Vec::new(),
            };
            for file in &files {
                reader.file(file)?;
            }
            venues.push(reader.finish());
        }
        if venues.iter().all(|venue| venue.bodies.is_empty() && venue.frames.is_empty()) {
            return Err(RecordingError::Empty);
        }
        Ok(Self { refused, venues })
    }

    /// Number of HTTP bodies that are replayed. One that answers for two feeds counts once.
    pub fn body_count(&self) -> usize {
        let files = |venue: &RecordedVenue| {
            let mut files: Vec<&str> = venue.bodies.iter().map(|body| body.file.as_str()).collect();
            files.sort_unstable();
            files.dedup();
            files.len()
        };
        self.venues.iter().map(files).sum()
    }

    /// Number of stream frames that are replayed.
    pub fn frame_count(&self) -> usize {
        self.venues.iter().map(|venue| venue.frames.len()).sum()
    }
}

/// A frame and the time by which it is put in order.
struct DatedFrame {
    time: Timestamp,
    text: String,
    instruments: Vec<Instrument>,
    has_data: bool,
}

struct Reader<'a> {
    root: &'a Path,
    venue: &'static dyn Venue,
    refused: &'a mut Vec<Refused>,
    bodies: Vec<Body>,
    frames: Vec<DatedFrame>,
}

impl Reader<'_> {
    fn refuse(&mut self, path: &Path, line: Option<usize>, reason: impl Into<String>) {
        let shown = path.strip_prefix(self.root).unwrap_or(path).display();
        let file = line.map_or_else(|| shown.to_string(), |line| format!("{shown}:{line}"));
        self.refused.push(Refused { file, reason: reason.into() });
    }

    fn file(&mut self, path: &Path) -> Result<(), RecordingError> {
        let extension = path.extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase());
        let is_frames = extension.as_deref() == Some("jsonl");
        if !is_frames && extension.as_deref() != Some("json") {
            self.refuse(path, None, "neither .json nor .jsonl");
            return Ok(());
        }
        let read = |source| RecordingError::Read { path: path.to_owned(), source };
        if std::fs::metadata(path).map_err(read)?.len() > FRAMES_BYTES_MAX {
            self.refuse(path, None, format!("longer than {FRAMES_BYTES_MAX} bytes"));
            return Ok(());
        }
        let content = std::fs::read(path).map_err(read)?;
        if is_frames {
            self.lines(path, &content);
        } else if path.parent().and_then(Path::file_name).is_some_and(|parent| parent == "ws") {
            if let Err(reason) = self.frame(content.trim_ascii()) {
                self.refuse(path, None, reason);
            }
        } else {
            self.body(path, content.into());
        }
        Ok(())
    }

    fn body(&mut self, path: &Path, content: Bytes) {
        if content.len() > BODY_BYTES_MAX {
            self.refuse(path, None, format!("longer than {BODY_BYTES_MAX} bytes"));
            return;
        }
        match reading::bodies(self.venue, &name_of(path), &content) {
            Ok(bodies) => self.bodies.extend(bodies),
            Err(reason) => self.refuse(path, None, reason),
        }
    }

    fn lines(&mut self, path: &Path, content: &[u8]) {
        let mut refused_count = 0;
        for (index, line) in content.split(|byte| *byte == b'\n').enumerate() {
            let Err(reason) = self.frame(line.trim_ascii()) else { continue };
            refused_count += 1;
            if refused_count <= FRAMES_NAMED_MAX {
                self.refuse(path, Some(index + 1), reason);
            }
        }
        if let Some(further_count) = refused_count.checked_sub(FRAMES_NAMED_MAX).filter(|count| *count > 0) {
            self.refuse(path, None, format!("{further_count} further frames refused"));
        }
    }

    /// Takes one frame in; `Err` says why it is not replayed.
    fn frame(&mut self, line: &[u8]) -> Result<(), String> {
        if line.is_empty() {
            return Ok(());
        }
        let stream: &dyn StreamingVenue = self.venue.stream().ok_or("the venue has no stream that can be read")?;
        let opened = envelope::open(line);
        let text = String::from_utf8(opened.message.trim_ascii().to_vec()).map_err(|_| "not UTF-8")?;
        if text.len() > FRAME_BYTES_MAX {
            return Err(format!("longer than {FRAME_BYTES_MAX} bytes"));
        }
        let parsed = match stream.parse_frame(text.as_bytes()) {
            Ok(Frame::Data(parsed)) => Some(parsed),
            Ok(Frame::Closing) => return Err("it would close the connection".to_owned()),
            Ok(_) => None,
            Err(error) => return Err(error.to_string()),
        };
        let observations = parsed.as_ref().map(|parsed| parsed.observations.as_slice()).unwrap_or_default();
        let event_time = observations.iter().filter_map(|observation| observation.event_time).max();
        let time = event_time.or(opened.receive_time).unwrap_or_else(undated_time);
        let instruments = observations.iter().map(|observation| observation.instrument.clone()).collect();
        self.frames.push(DatedFrame { time, text, instruments, has_data: parsed.is_some() });
        Ok(())
    }

    fn finish(mut self) -> RecordedVenue {
        self.bodies.sort_by_key(|body| body.time);
        self.frames.sort_by_key(|frame| frame.time);
        let mut streamed: BTreeMap<SmolStr, Instrument> = BTreeMap::new();
        for instrument in self.frames.iter_mut().flat_map(|frame| std::mem::take(&mut frame.instruments)) {
            streamed.entry(instrument.symbol.clone()).or_insert(instrument);
        }
        // Acknowledgements alone are no stream.
        let has_data = self.frames.iter().any(|frame| frame.has_data);
        let frames = if has_data { self.frames } else { Vec::new() };
        RecordedVenue {
            venue: self.venue,
            bodies: self.bodies,
            frames: frames.into_iter().map(|frame| frame.text).collect(),
            streamed: streamed.into_values().collect(),
        }
    }
}

/// The directory of a venue's files: its own, else its spot sibling's.
fn directory_of(venue: &dyn Venue, root: &Path) -> String {
    let id = venue.id().as_str();
    match id.split_once('-') {
        Some((sibling, _)) if !root.join(id).is_dir() => sibling.to_owned(),
        _ => id.to_owned(),
    }
}

/// The place in the registry of the venue that a file is of.
fn venue_place(directory: &str, root: &Path, file: &Path) -> Option<usize> {
    let file_name = name_of(file);
    let is_derivative = DERIVATIVE_WORDS.iter().any(|word| file_name.contains(word));
    let own = REGISTRY.iter().position(|venue| venue.id().as_str() == directory);
    let guest =
        REGISTRY.iter().position(|venue| venue.id().as_str() != directory && directory_of(*venue, root) == directory);
    if is_derivative { guest.or(own) } else { own }
}

fn name_of(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// What is in a directory, in the order of the names.
fn entries(directory: &Path) -> Result<Vec<PathBuf>, RecordingError> {
    let problem = |source| RecordingError::Read { path: directory.to_owned(), source };
    let listed: Result<Vec<PathBuf>, _> =
        std::fs::read_dir(directory).map_err(problem)?.map(|entry| entry.map(|entry| entry.path())).collect();
    let mut listed = listed.map_err(problem)?;
    listed.sort();
    Ok(listed)
}

/// Every file below a directory, in the order of the paths.
fn files_below(directory: &Path) -> Result<Vec<PathBuf>, RecordingError> {
    let mut found = Vec::new();
    let mut waiting = vec![(directory.to_owned(), 0)];
    while let Some((directory, depth)) = waiting.pop() {
        for entry in entries(&directory)? {
            if entry.is_dir() {
                if depth < DEPTH_MAX {
                    waiting.push((entry, depth + 1));
                }
            } else {
                found.push(entry);
            }
        }
    }
    found.sort();
    Ok(found)
}
