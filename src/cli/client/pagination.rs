//! Lists of several pages, printed page by page: a table for people, one JSON document `{"total","items":[…]}` for programs.

use super::{envelope::Answer, error::Fault, rest::Api};
use crate::cli::term::{output, table::Table};
use serde::Deserialize;
use serde_json::{Value, value::RawValue};

/// Maximum items of a page, as on the server.
const PAGE_MAX: u64 = 200;

/// Request for a list.
pub(crate) struct Asked<'a> {
    /// `/api/tasks`, `/api/files` or `/api/workflows`.
    pub(crate) path: &'a str,
    /// Names and values of filters.
    pub(crate) filters: Vec<(&'static str, String)>,
    /// Maximum items over all pages.
    pub(crate) limit: u64,
    /// Whether pages are requested by cursor, else by offset.
    pub(crate) has_cursor: bool,
}

/// Prints the list. `columns` creates the empty table, `row` adds an item to it.
pub(crate) async fn say(
    api: &Api,
    asked: &Asked<'_>,
    json: bool,
    columns: fn() -> Table,
    row: impl Fn(&Value, &mut Table),
) -> Result<(), Fault> {
    let (mut seen, mut cursor, mut total) = (0, None, 0);
    loop {
        let page = api.get(&asked.path_of(seen, cursor.as_deref())).await?;
        let items: &[Value] = page.value["items"].as_array().map(Vec::as_slice).unwrap_or_default();
        if json {
            say_json(&page.value["total"], page.raw.get(), seen == 0)?;
        } else {
            let mut table = columns();
            items.iter().for_each(|item| row(item, &mut table));
            table.say(seen == 0)?;
        }
        total = page.value["total"].as_u64().unwrap_or(total);
        seen += items.len() as u64;
        cursor = page.value["nextCursor"].as_str().map(str::to_owned);
        let is_last = if asked.has_cursor { cursor.is_none() } else { seen >= total };
        if items.is_empty() || is_last || seen >= asked.limit {
            break;
        }
    }
    if json {
        return output::say("]}");
    }
    if total > seen {
        output::hint(&format!("{seen} of {total} shown; --limit shows more"));
    }
    Ok(())
}

/// Items as received: their numbers are exact.
#[derive(Deserialize)]
struct Raw<'a> {
    #[serde(borrow)]
    items: Vec<&'a RawValue>,
}

fn read(page: &str) -> Result<Raw<'_>, Fault> {
    serde_json::from_str(page).map_err(|error| Fault::Unreachable(format!("the answer is not a list: {error}")))
}

/// Returns the items of a page, each as an answer of its own.
pub(crate) fn items(page: &str) -> Result<Vec<Answer>, Fault> {
    let answer = |raw: &RawValue| Answer {
        raw: raw.to_owned(),
        value: serde_json::from_str(raw.get()).unwrap_or(Value::Null),
        etag: None,
    };
    Ok(read(page)?.items.into_iter().map(answer).collect())
}

fn say_json(total: &Value, page: &str, is_first: bool) -> Result<(), Fault> {
    let page = read(page)?;
    if is_first {
        output::pour(format!("{{\"total\":{total},\"items\":[").as_bytes())?;
    }
    for (at, item) in page.items.iter().enumerate() {
        let comma = if is_first && at == 0 { "\n" } else { ",\n" };
        output::pour(format!("{comma}{item}").as_bytes())?;
    }
    Ok(())
}

/// Encodes a text for a query string.
pub(crate) fn encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

impl Asked<'_> {
    fn path_of(&self, seen: u64, cursor: Option<&str>) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.append_pair("limit", &(self.limit - seen).min(PAGE_MAX).to_string());
        for (name, value) in &self.filters {
            query.append_pair(name, value);
        }
        match cursor {
            Some(cursor) => query.append_pair("cursor", cursor),
            None if seen > 0 => query.append_pair("offset", &seen.to_string()),
            None => &mut query,
        };
        format!("{}?{}", self.path, query.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::Asked;

    #[test]
    fn pages_are_requested_by_cursor_or_offset() {
        let filters = vec![("status", "failed,pending".to_owned())];
        let asked = Asked { path: "/api/tasks", filters, limit: 250, has_cursor: true };
        assert_eq!(asked.path_of(0, None), "/api/tasks?limit=200&status=failed%2Cpending");
        assert_eq!(asked.path_of(200, Some("1-x")), "/api/tasks?limit=50&status=failed%2Cpending&cursor=1-x");
        assert_eq!(asked.path_of(200, None), "/api/tasks?limit=50&status=failed%2Cpending&offset=200");
    }
}
