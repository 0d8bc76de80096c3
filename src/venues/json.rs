//! A small pull reader for JSON.
