//! Lists of several pages, printed page by page: a table for people, one JSON document `{"total","items":[…]}` for
//! programs.

use super::{envelope::Answer, rest::Api};
use crate::cli::{
    error::Error,
    term::{output, table::Table},
};
use serde::Deserialize;
use serde_json::{Value, value::RawValue};

/// Maximum items of a page, as on the server.
pub(crate) const PAGE_MAX: u64 = 200;

/// Request for a list.
pub(crate) struct ListRequest<'a> {
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
pub(crate) async fn print(
    api: &Api,
    request: &ListRequest<'_>,
    json: bool,
    columns: fn() -> Table,
    row: impl Fn(&Value, &mut Table),
) -> Result<(), Error> {
    let (mut seen, mut cursor, mut total) = (0, None, 0);
    loop {
        let page = api.get(&request.path_of(seen, cursor.as_deref())).await?;
        let items: &[Value] = page.value["items"].as_array().map(Vec::as_slice).unwrap_or_default();
        if json {
            print_json(&page.value["total"], page.raw.get(), seen == 0)?;
        } else {
            let mut table = columns();
            items.iter().for_each(|item| row(item, &mut table));
            table.print(seen == 0)?;
        }
        total = page.value["total"].as_u64().unwrap_or(total);
        seen += items.len() as u64;
        cursor = page.value["nextCursor"].as_str().map(str::to_owned);
        let is_last = if request.has_cursor { cursor.is_none() } else { seen >= total };
        if items.is_empty() || is_last || seen >= request.limit {
            break;
        }
    }
    if json {
        return output::print_line("]}");
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

fn read(page: &str) -> Result<Raw<'_>, Error> {
    serde_json::from_str(page).map_err(|error| Error::Unreachable(format!("the answer is not a list: {error}")))
}

/// Returns the items of a page, each as an answer of its own.
fn items(page: &str) -> Result<Vec<Answer>, Error> {
    let answer = |raw: &RawValue| Answer {
        raw: raw.to_owned(),
        value: serde_json::from_str(raw.get()).unwrap_or(Value::Null),
        etag: None,
    };
    Ok(read(page)?.items.into_iter().map(answer).collect())
}

/// Pages of a list, read one after the other by cursor.
pub(crate) struct Pages<'a> {
    api: &'a Api,
    /// Path and filters.
    path: String,
    cursor: Option<String>,
    is_end: bool,
}

impl<'a> Pages<'a> {
    /// Creates the pages of a list; `path` may have a query string.
    pub(crate) const fn new(api: &'a Api, path: String) -> Self {
        Self { api, path, cursor: None, is_end: false }
    }

    /// Whether the last page was read.
    pub(crate) const fn is_end(&self) -> bool {
        self.is_end
    }

    /// Reads the items of the next page; `None` after the last page.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<Answer>>, Error> {
        if self.is_end {
            return Ok(None);
        }
        let cursor = self.cursor.take().map(|cursor| format!("&cursor={}", encoded(&cursor))).unwrap_or_default();
        let separator = if self.path.contains('?') { '&' } else { '?' };
        let page = self.api.get(&format!("{}{separator}limit={PAGE_MAX}{cursor}", self.path)).await?;
        let items = items(page.raw.get())?;
        self.cursor = page.value["nextCursor"].as_str().map(str::to_owned);
        self.is_end = self.cursor.is_none() || items.is_empty();
        Ok(Some(items))
    }
}

fn print_json(total: &Value, page: &str, is_first: bool) -> Result<(), Error> {
    let page = read(page)?;
    if is_first {
        output::print_bytes(format!("{{\"total\":{total},\"items\":[").as_bytes())?;
    }
    for (at, item) in page.items.iter().enumerate() {
        let comma = if is_first && at == 0 { "\n" } else { ",\n" };
        output::print_bytes(format!("{comma}{item}").as_bytes())?;
    }
    Ok(())
}

/// Encodes a text for a query string.
fn encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

impl ListRequest<'_> {
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
    use super::ListRequest;

    #[test]
    fn pages_are_requested_by_cursor_or_offset() {
        let filters = vec![("status", "failed,pending".to_owned())];
        let request = ListRequest { path: "/api/tasks", filters, limit: 250, has_cursor: true };
        assert_eq!(request.path_of(0, None), "/api/tasks?limit=200&status=failed%2Cpending");
        assert_eq!(request.path_of(200, Some("1-x")), "/api/tasks?limit=50&status=failed%2Cpending&cursor=1-x");
        assert_eq!(request.path_of(200, None), "/api/tasks?limit=50&status=failed%2Cpending&offset=200");
    }
}
