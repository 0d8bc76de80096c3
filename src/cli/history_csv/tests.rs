//! Tests of whole files.

use proptest::prelude::*;

use super::*;

fn days(history: &History) -> Vec<String> {
    history.rows.iter().map(|row| date_of(row.day).to_string()).collect()
}

fn told(history: &History) -> Vec<String> {
    history
        .problems
        .iter()
        .map(|problem| format!("{} {:?} {}", problem.line, problem.effect, problem.message))
        .collect()
}

fn decimal(text: &str) -> Decimal {
    Decimal::parse(text).expect("valid")
}

#[test]
fn columns_are_found_by_name_in_any_case() {
    let history = parse(b"Date,Open,High,Low,Close,Adj Close,Volume\n2024-01-02,10,12,9,11,5,\"1,000\"\n", None);
    assert_eq!(told(&history), [""; 0]);
    let row = history.rows.first().expect("one row");
    assert_eq!((row.open, row.close), (Some(decimal("10")), decimal("11")));
    assert_eq!((row.volume, row.line), (Some(decimal("1000")), 2));

    let listing = parse(b"Start,End,Open,High,Low,Close,Volume,Market Cap\n2024-01-02,2024-01-03,1,1,1,1,5,70\n", None);
    assert_eq!(listing.rows.first().and_then(|row| row.market_cap), Some(decimal("70")));
    let named = parse(b"date;RUT;SPX\n2024-01-02;2000.5;4700\n", Some("rut"));
    assert_eq!(named.rows.first().map(|row| row.close), Some(decimal("2000.5")));
    let marked = parse(b"\xef\xbb\xbftime\tvalue\r\n1704153600\t3.5\r\n", None);
    assert_eq!(days(&marked), ["2024-01-02"]);
}

#[test]
fn lines_are_counted_alike_however_they_end() {
    for end in ["\n", "\r\n", "\r"] {
        let text =
            ["date,close", "2024-01-01,1", "", "2024-01-02,x", "\"2024-01-03", " \",3", "2024-01-04,4"].join(end);
        let history = parse(text.as_bytes(), None);
        let lines: Vec<u64> = history.rows.iter().map(|row| row.line).collect();
        let problems: Vec<u64> = history.problems.iter().map(|problem| problem.line).collect();
        assert_eq!((lines, problems), (vec![2, 5, 7], vec![4]), "{end:?}: {:?}", told(&history));
    }
}

#[test]
fn wrong_columns_refuse_the_file() {
    for (text, part) in
        [("", "empty"), ("a,b\n1,2\n", "no column of dates"), ("date,price\n2024-01-02,2\n", "no column of closes")]
    {
        let history = parse(text.as_bytes(), None);
        assert!(history.rows.is_empty());
        let problem = history.problems.first().expect("a problem");
        assert!(problem.effect == Effect::Refused && problem.message.contains(part), "{problem:?}");
    }
    assert!(parse(b"date,close\n2024-01-02,2\n", Some("dxy")).problems[0].message.contains("no column dxy"));
}

#[test]
fn bad_lines_are_told_by_number_and_cost_no_other() {
    let text = "date,open,high,low,close\n\
        2024-01-02,10,12,9,11\n\
        someday,10,12,9,11\n\
        2024-01-03,10,12,9,lots\n\
        2024-01-04,10,12,9\n\
        2024-01-05,10,12,9,\n\
        2024-01-06,10,12,9,-1\n\
        2024-01-07,0,12,9,11\n\
        2024-01-08,10,10.5,9,11\n";
    let history = parse(text.as_bytes(), None);
    assert_eq!(days(&history), ["2024-01-02", "2024-01-07", "2024-01-08"]);
    assert_eq!((history.line_count, history.skipped_count), (8, 5));
    let told = told(&history);
    let expected = [
        "3 Skipped \"someday\" is not a date",
        "4 Skipped close: \"lots\": not a decimal number",
        "5 Skipped 4 fields where the header has 5",
        "6 Skipped no close",
        "7 Skipped close is -1; it must be above 0",
        "8 Adjusted open is 0 and is taken as absent",
        "8 Noted 4 days are missing between 2024-01-02 and 2024-01-07",
        "9 Adjusted high 10.5 is below another price of the day; 11 is taken",
    ];
    assert_eq!(told, expected);
    assert_eq!(history.rows.last().and_then(|row| row.high), Some(decimal("11")));
}

#[test]
fn duplicates_and_disorder_are_told() {
    let text = "date,close\n2024-01-03,3\n2024-01-02,2\n2024-01-03,3\n2024-01-02,9\n2024-01-04,4\n";
    let history = parse(text.as_bytes(), None);
    assert_eq!(days(&history), ["2024-01-02", "2024-01-03", "2024-01-04"]);
    assert_eq!(history.rows.first().map(|row| row.close), Some(decimal("2")));
    let expected = [
        "4 Skipped 2024-01-03 was on line 2 already, the same again",
        "5 Skipped 2024-01-02 was on line 3 already, with other figures; the first is kept",
        "6 Noted the days are out of order from here; they are sorted",
    ];
    assert_eq!(told(&history), expected);
}

#[test]
fn newest_first_is_an_order_too() {
    assert!(parse(b"date,close\n2024-01-03,3\n2024-01-02,2\n2024-01-01,1\n", None).problems.is_empty());
}

#[test]
fn weekends_are_no_gaps_in_a_history_of_sessions() {
    let sessions = "date,close\n2024-01-04,1\n2024-01-05,1\n2024-01-08,1\n2024-01-09,1\n";
    assert!(parse(sessions.as_bytes(), None).problems.is_empty());
    let around_the_clock = "date,close\n2024-01-05,1\n2024-01-06,1\n2024-01-08,1\n";
    assert_eq!(
        told(&parse(around_the_clock.as_bytes(), None)),
        ["4 Noted 1 days are missing between 2024-01-06 and 2024-01-08"]
    );
}

#[test]
fn problems_are_bounded() {
    let text = format!("date,close\n{}", "x,1\n".repeat(PROBLEMS_MAX + 5));
    let history = parse(text.as_bytes(), None);
    assert_eq!(history.problems.len(), PROBLEMS_MAX);
    assert_eq!(history.problems_not_listed.get(&Effect::Skipped), Some(&5));
    assert_eq!(history.skipped_count, PROBLEMS_MAX as u64 + 5);
}

proptest! {
    #[test]
    fn any_bytes_give_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        check_invariants(&parse(&bytes, None));
    }

    #[test]
    fn any_cells_give_rows_in_order(cells in proptest::collection::vec(("[0-9/:. -]{0,12}|2024-01-[0-3][0-9]", "[0-9,.$-]{0,9}"), 0..40)) {
        let lines: String = cells.iter().map(|(day, close)| format!("{day},\"{close}\",{close}\n")).collect();
        check_invariants(&parse(format!("date,close,high\n{lines}").as_bytes(), None));
    }
}

fn check_invariants(history: &History) {
    assert!(history.rows.windows(2).all(|pair| pair[0].day < pair[1].day));
    assert!(history.rows.iter().all(|row| row.close.is_positive() && row.high.is_none_or(|high| high >= row.close)));
    assert_eq!(history.rows.len() as u64 + history.skipped_count, history.line_count);
}

#[test]
fn an_index_has_closes_of_sessions_only() {
    // Thursday, Friday, a weekend that repeats it, the holiday of Martin Luther King, Wednesday.
    let file = "date,close\n2026-01-15,2650\n2026-01-16,2655\n2026-01-17,2655\n2026-01-18,2655\n2026-01-19,2655\n2026-01-21,2660\n";
    let history = parse_of(file.as_bytes(), None, Some("RUT"));
    let days: Vec<String> = history.rows.iter().map(|row| date_of(row.day).to_string()).collect();
    assert_eq!(days, ["2026-01-15", "2026-01-16", "2026-01-21"]);
    let told: Vec<(u64, Effect)> = history.problems.iter().map(|problem| (problem.line, problem.effect)).collect();
    let skipped = |line| (line, Effect::Skipped);
    assert_eq!(told, [skipped(4), skipped(5), skipped(6), (7, Effect::Noted)]);
    assert!(
        history.problems[3].message.contains("1 session is missing of RUT: 2026-01-20"),
        "{:?}",
        history.problems[3]
    );
    assert_eq!(history.skipped_count, 3);
    // Of an asset every day counts.
    assert_eq!(parse(file.as_bytes(), None).rows.len(), 6);
}
