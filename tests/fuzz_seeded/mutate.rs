//! Inputs from seeds: a few random changes to one of them.

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

/// Longest input, in bytes.
pub const INPUT_LEN_MAX: usize = 4_096;

/// Text that trips up parsers, and the words that the formats here consist of.
const TOKENS: &[&str] = &[
    "null",
    "true",
    "false",
    "\"\"",
    "{}",
    "[]",
    "[",
    "]",
    "{",
    "}",
    ",",
    ":",
    "\"",
    "\\",
    "\\u0041",
    "\\ud800",
    "\\ud83d\\ude00",
    "\u{feff}",
    "é",
    "币",
    "\0",
    "\n",
    "\r\n",
    "\t",
    " ",
    "'",
    ";",
    "$",
    "%",
    "=",
    "-",
    "+",
    ".",
    "/",
    "_",
    "NaN",
    "Infinity",
    "-inf",
    "nan",
    "n/a",
    "BTC",
    "USDT",
    "USD",
    "BTCUSDT",
    "BTC-USDT",
    "BTC_USDT",
    "1000",
    "PERP",
    "SWAP",
    "symbol",
    "data",
    "code",
    "last",
    "price",
    "ts",
    "error",
    "event",
    "channel",
    "2024-02-29",
    "2026-01-15T12:00:00Z",
    "0001-01-01",
    "9999-12-31",
    "#500 /\n",
    "#429 \n",
    "\n---\n",
    "CROSSMARKET__",
    "price:",
    "sampled:",
    "candles:1d:",
];

/// Numbers at and beyond the ends of the ranges that numbers are kept in.
const NUMBERS: &[&str] = &[
    "0",
    "-0",
    "0.0",
    "-1",
    "1e-400",
    "1e400",
    "1e9999",
    "1e99999",
    "-1e308",
    "0.00000000000000000000000000000000001",
    "2147483648",
    "4294967296",
    "9007199254740993",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "18446744073709551616",
    "79228162514264337593543950335",
    "79228162514264337593543950336",
    "340282366920938463463374607431768211456",
    "99999999999999999999999999999999999999999999999999999999999999999",
    "1.0000000000000000000000000000000000000001",
    "253402300800000",
    "-62135596800001",
    "1.",
    ".5",
    "1e",
    "0x10",
    "00",
    "1,000",
    "0.5e-28",
    "1e-28",
    "1e28",
];

/// Makes inputs. What it makes follows from the seed alone.
pub struct Mutator {
    random: SmallRng,
}

impl Mutator {
    /// A source of inputs.
    pub fn new(seed: u64) -> Self {
        Self { random: SmallRng::seed_from_u64(seed) }
    }

    /// One of the seeds with one to six changes.
    pub fn input(&mut self, seeds: &[Vec<u8>]) -> Vec<u8> {
        let mut input = seeds[self.below(seeds.len())].clone();
        for _ in 0..self.random.random_range(1..=6) {
            self.change(&mut input, seeds);
            input.truncate(INPUT_LEN_MAX);
        }
        input
    }

    fn change(&mut self, input: &mut Vec<u8>, seeds: &[Vec<u8>]) {
        match self.random.random_range(0..12) {
            0 => self.flip_bit(input),
            1 => self.put_byte(input),
            2 => input.truncate(self.below(input.len() + 1)),
            3 => self.remove_slice(input),
            4 => self.repeat_slice(input),
            5 => self.splice(input, seeds),
            6 | 7 => self.replace_number(input),
            8 => self.nest(input),
            9 => self.swap_slices(input),
            _ => self.insert_token(input),
        }
    }

    fn below(&mut self, end: usize) -> usize {
        if end == 0 { 0 } else { self.random.random_range(0..end) }
    }

    /// The bounds of a slice of an input, short ones more often.
    fn slice(&mut self, len: usize) -> std::ops::Range<usize> {
        let start = self.below(len + 1);
        let longest = (len - start).min(1 << self.random.random_range(0..10));
        start..start + self.below(longest + 1)
    }

    fn flip_bit(&mut self, input: &mut [u8]) {
        let at = self.below(input.len());
        if let Some(byte) = input.get_mut(at) {
            *byte ^= 1 << self.random.random_range(0..8);
        }
    }

    fn put_byte(&mut self, input: &mut [u8]) {
        let at = self.below(input.len());
        if let Some(byte) = input.get_mut(at) {
            *byte = self.random.random();
        }
    }

    fn remove_slice(&mut self, input: &mut Vec<u8>) {
        let slice = self.slice(input.len());
        input.drain(slice);
    }

    fn repeat_slice(&mut self, input: &mut Vec<u8>) {
        let slice = self.slice(input.len());
        let repeated = input[slice.clone()].repeat(self.random.random_range(1..=4));
        input.splice(slice.end..slice.end, repeated);
    }

    fn splice(&mut self, input: &mut Vec<u8>, seeds: &[Vec<u8>]) {
        let other = &seeds[self.below(seeds.len())];
        let (from, to) = (self.slice(other.len()), self.slice(input.len()));
        input.splice(to, other[from].iter().copied());
    }

    fn swap_slices(&mut self, input: &mut Vec<u8>) {
        let slice = self.slice(input.len());
        let moved: Vec<u8> = input.drain(slice).collect();
        let at = self.below(input.len() + 1);
        input.splice(at..at, moved);
    }

    /// Puts an extreme in the place of one of the input's numbers.
    fn replace_number(&mut self, input: &mut Vec<u8>) {
        let begins = |at: &usize| input[*at].is_ascii_digit() && (*at == 0 || !input[at - 1].is_ascii_digit());
        let starts: Vec<usize> = (0..input.len()).filter(begins).collect();
        let Some(&start) = starts.get(self.below(starts.len())) else { return };
        let part = |byte: &u8| byte.is_ascii_digit() || *byte == b'.';
        let len = input[start..].iter().take_while(|byte| part(byte)).count();
        let number = NUMBERS[self.below(NUMBERS.len())];
        input.splice(start..start + len, number.bytes());
    }

    /// Wraps a slice in brackets, deeper than readers go or not quite.
    fn nest(&mut self, input: &mut Vec<u8>) {
        let slice = self.slice(input.len());
        let depth = [1, 2, 20, 31, 32, 33, 200][self.below(7)];
        let (open, close) = if self.random.random() { ("[", "]") } else { ("{\"a\":", "}") };
        input.splice(slice.end..slice.end, close.repeat(depth).bytes());
        input.splice(slice.start..slice.start, open.repeat(depth).bytes());
    }

    fn insert_token(&mut self, input: &mut Vec<u8>) {
        let token = TOKENS[self.below(TOKENS.len())];
        let replaced = if self.random.random() { self.slice(input.len()) } else { 0..0 };
        let at = self.below(input.len() + 1);
        let range = if replaced.is_empty() { at..at } else { replaced };
        input.splice(range, token.bytes());
    }
}
