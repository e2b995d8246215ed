-- For which contract a job's result is signed, too, as `chain id:contract:job:payee`; and what was signed, as in the header
-- `nacre-chain-result`.
ALTER TABLE jobs ADD COLUMN chain TEXT;
ALTER TABLE job_settlements ADD COLUMN chain_result TEXT;
