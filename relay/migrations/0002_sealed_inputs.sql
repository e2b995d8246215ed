-- The key that a job's result is sealed to, base64url, where its input is sealed: known when it is laid in.
ALTER TABLE jobs ADD COLUMN result_key TEXT;
