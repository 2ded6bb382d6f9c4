-- What can heal is tried again for a length of time; a duplicate has a state of its own; the end of a job is told from a
-- table, into which it is written by the very statement that ends the job.

ALTER TABLE jobs ADD COLUMN failing_since timestamptz;  -- the first of `failures`: since then it came no step further
ALTER TABLE jobs ADD COLUMN failing_step text;  -- where that was

ALTER TABLE jobs DROP CONSTRAINT jobs_state_check, DROP CONSTRAINT jobs_step_check;
UPDATE jobs SET step = 'store' WHERE step = 'notify';
UPDATE jobs SET state = 'duplicate' WHERE duplicate_of IS NOT NULL;
UPDATE jobs d SET duplicate_of = o.duplicate_of FROM jobs o WHERE o.id = d.duplicate_of AND o.duplicate_of IS NOT NULL;
ALTER TABLE jobs
    ADD CHECK (step IN ('fetch', 'analyse', 'store')),
    ADD CHECK (state IN ('queued', 'running', 'done', 'refused', 'failed', 'set_aside', 'cancelled', 'duplicate')),
    ADD CHECK ((state = 'duplicate') = (duplicate_of IS NOT NULL));
CREATE INDEX jobs_by_original ON jobs (duplicate_of) WHERE duplicate_of IS NOT NULL;

DROP INDEX jobs_one_per_content;
CREATE UNIQUE INDEX jobs_one_per_content ON jobs (study_key, content_hash, models_hash)
    WHERE content_hash IS NOT NULL AND NOT pruned AND state IN ('queued', 'running', 'done', 'refused', 'set_aside');

-- One row each time that a job has ended.
CREATE TABLE notices (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key uuid NOT NULL DEFAULT gen_random_uuid(),  -- names this end, however often it is told
    job_id uuid NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    version integer NOT NULL,
    state text NOT NULL,
    reason_code text,
    ended_at timestamptz NOT NULL,
    tries integer NOT NULL DEFAULT 0,
    next_at timestamptz NOT NULL DEFAULT now(),
    told_at timestamptz,
    given_up_at timestamptz
);
CREATE INDEX notices_due ON notices (next_at) WHERE told_at IS NULL AND given_up_at IS NULL;
CREATE INDEX notices_by_job ON notices (job_id, ended_at);

CREATE FUNCTION jobs_end() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO notices (job_id, version, state, reason_code, ended_at)
    VALUES (NEW.id, NEW.version, NEW.state, NEW.reason ->> 'code', NEW.finished_at);
    RETURN NULL;
END;
$$;

CREATE TRIGGER jobs_end AFTER UPDATE ON jobs FOR EACH ROW WHEN (
    OLD.state IN ('queued', 'running') AND NEW.state NOT IN ('queued', 'running')
) EXECUTE FUNCTION jobs_end();

CREATE FUNCTION notices_tell() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('lung_nodules_jobs', NEW.job_id::text);
    RETURN NULL;
END;
$$;

CREATE TRIGGER notices_tell_change AFTER UPDATE ON notices FOR EACH ROW EXECUTE FUNCTION notices_tell();
