//! Table of the words of `error.type`.

/// A word of `error.type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErrorType {
    /// The word. Its meaning never changes.
    pub word: &'static str,
    /// HTTP statuses it comes with.
    pub statuses: &'static [u16],
    /// Meaning, and what to do.
    pub meaning: &'static str,
}

const fn error_type(word: &'static str, statuses: &'static [u16], meaning: &'static str) -> ErrorType {
    ErrorType { word, statuses, meaning }
}

/// Every word of this room, for the document and tests; `process::ERROR_TYPES` has those of the server.
pub const ERROR_TYPES: &[ErrorType] = &[
    error_type(
        "invalid_json",
        &[400],
        "the body is not one JSON document in UTF-8, is nested too deeply, or has a duplicate key",
    ),
    error_type("invalid_request", &[400, 422], "a member of the body is missing, of the wrong type, or not acceptable"),
    error_type("unknown_field", &[400], "the body has an unknown member; similar names are given"),
    error_type("invalid_query", &[400], "a query parameter is invalid"),
    error_type("invalid_header", &[400], "a request header is invalid"),
    error_type(
        "invalid_upload",
        &[400],
        "the multipart body is malformed, truncated, or does not hold exactly one file",
    ),
    error_type("invalid_workflow", &[400, 422], "the workflow is not an API-format graph that can be run"),
    error_type("invalid_params", &[400, 422], "the params do not fit the workflow; every problem is listed"),
    error_type(
        "workflow_too_complex",
        &[422],
        "resolving the workflow takes too much work: fewer nodes, links, placeholders or params, or smaller batches",
    ),
    error_type(
        "workflow_unknown",
        &[422],
        "no workflow is published under this name, or not in this version; similar names are given",
    ),
    error_type("too_many_workflows", &[422], "the limit of published workflows is reached: delete one first"),
    error_type("invalid_config", &[400, 422], "the config is invalid; every problem is listed, nothing was changed"),
    error_type("unauthorized", &[401], "the token is missing, invalid or expired: log in again"),
    error_type("invalid_credentials", &[401], "wrong username or password"),
    error_type("forbidden", &[403], "this needs the role admin"),
    error_type("link_expired", &[403], "the link to a file has expired: read the task again for a fresh one"),
    error_type("not_found", &[404], "there is no such path, task, batch, workflow, instance or file"),
    error_type("method_not_allowed", &[405], "the path exists, the method does not; see the header Allow"),
    error_type("version_conflict", &[409], "the config or the workflow was changed in the meantime: read it again"),
    error_type("task_ended", &[409], "the task has ended and stays as it is"),
    error_type("task_not_ended", &[409], "the task waits or runs, or its instance has not stopped it yet"),
    error_type("workflow_gone", &[409], "the workflow of the task no longer exists: submit it again"),
    error_type(
        "keys_gone",
        &[409],
        "the keys for API nodes that the task had were deleted when it ended: send them again in the body of the retry",
    ),
    error_type("file_in_use", &[409], "a waiting or running task or a published workflow needs the file"),
    error_type(
        "too_large",
        &[413],
        "the body is larger than allowed: send files with POST /api/files/upload and name them in the task with `$file`",
    ),
    error_type("unsupported_media_type", &[415], "the Content-Type or Content-Encoding is not supported"),
    error_type("range_not_satisfiable", &[416], "the range lies outside the file"),
    error_type("idempotency_key_reused", &[422], "the same Idempotency-Key was used with another body before"),
    error_type("no_such_file", &[422], "a file that the task needs does not exist"),
    error_type("rate_limited", &[429], "too many requests of this user: wait for Retry-After seconds"),
    error_type("too_many_logins", &[429], "too many failed logins: wait for Retry-After seconds"),
    error_type("queue_full", &[429], "too many tasks wait: try again after Retry-After seconds"),
    error_type(
        "waiting_quota",
        &[429],
        "the waiting and running tasks of the user, or of all users, have too many bytes: try again after Retry-After seconds",
    ),
    error_type("internal", &[500], "an internal error; find it in the log by the request id"),
    error_type("busy", &[503], "the server is busy: try again after Retry-After seconds"),
    error_type(
        "redis_unavailable",
        &[503],
        "Redis does not answer or refuses writes: try again, with the same Idempotency-Key",
    ),
    error_type(
        "not_confirmed",
        &[503],
        "the replicas or the disk that `--durability` asks for did not confirm the write in time: repeat the request with the same Idempotency-Key",
    ),
    error_type(
        "queue_lost",
        &[503],
        "Redis was emptied or replaced: nothing is accepted until its data is restored, or an administrator restarts the system",
    ),
    error_type(
        "queue_memory_full",
        &[503],
        "the memory of Redis is full: try again after Retry-After seconds; reading and cancelling still work",
    ),
    error_type(
        "secret_key_missing",
        &[422],
        "keys for API nodes are refused, because this system has no SHUZHIREN_SECRET_KEY to encrypt them with: set it for every api and dispatcher",
    ),
    error_type("storage_unavailable", &[503], "the file store is unavailable: try again"),
    error_type("storage_full", &[507], "the file store is full"),
    error_type(
        "storage_reserve",
        &[507],
        "the disk of the file store has no more free space than its reserve: delete files, or add space",
    ),
    error_type(
        "upload_quota",
        &[507],
        "the uploads of the user, or of all users, have reached their limit: delete some",
    ),
];
