-- The service's own tables. Everything that was ever promised to a user is here; the queue's tickets (procrastinate_*)
-- can be made anew from it.

CREATE TABLE jobs (
    id uuid PRIMARY KEY,
    number bigint GENERATED ALWAYS AS IDENTITY,  -- order of submission, for pages
    source jsonb NOT NULL,
    study_key text NOT NULL,  -- which study: archive and UID, or the place of an upload until its headers are read
    label text NOT NULL,
    priority integer NOT NULL DEFAULT 0,
    state text NOT NULL DEFAULT 'queued'
        CHECK (state IN ('queued', 'running', 'done', 'refused', 'failed', 'set_aside', 'cancelled')),
    step text CHECK (step IN ('fetch', 'analyse', 'store', 'notify')),
    progress real NOT NULL DEFAULT 0 CHECK (progress BETWEEN 0 AND 1),
    stage text NOT NULL DEFAULT '',
    version integer NOT NULL DEFAULT 1 CHECK (version >= 1),
    content_hash text,
    models_hash text,
    attempts integer NOT NULL DEFAULT 0,
    crashes integer NOT NULL DEFAULT 0,
    losses integer NOT NULL DEFAULT 0,  -- workers that fell silent over it
    failures integer NOT NULL DEFAULT 0,  -- of the step under way, for reasons that can heal
    reason jsonb,
    submitted_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    waiting_since timestamptz NOT NULL DEFAULT now(),
    started_at timestamptz,
    finished_at timestamptz,
    duplicate_of uuid,
    replaces uuid,
    cancel_requested boolean NOT NULL DEFAULT false,
    pruned boolean NOT NULL DEFAULT false,
    summary jsonb,
    ticket bigint,  -- procrastinate_jobs.id that may claim this job; none other
    lease uuid,  -- names the attempt under way; a write that names another is a lost worker's and is ignored
    beat_at timestamptz,  -- its last sign of life
    CHECK ((state = 'running') = (lease IS NOT NULL))
);

-- One job per study, content and models: what makes a second submission the same job.
CREATE UNIQUE INDEX jobs_one_per_content ON jobs (study_key, content_hash, models_hash)
    WHERE content_hash IS NOT NULL AND duplicate_of IS NULL AND NOT pruned
    AND state IN ('queued', 'running', 'done', 'refused', 'set_aside');
-- And one that waits for a study whose content is not known yet.
CREATE UNIQUE INDEX jobs_one_waiting ON jobs (study_key, models_hash)
    WHERE content_hash IS NULL AND state = 'queued';
CREATE UNIQUE INDEX jobs_by_number ON jobs (number);
CREATE INDEX jobs_by_state ON jobs (state, number);
CREATE INDEX jobs_by_study ON jobs (study_key, version);
CREATE INDEX jobs_running ON jobs (beat_at) WHERE state = 'running';
CREATE INDEX jobs_waiting ON jobs (waiting_since) WHERE state = 'queued';

CREATE FUNCTION jobs_tell() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('lung_nodules_jobs', COALESCE(NEW.id, OLD.id)::text);
    RETURN NULL;
END;
$$;

CREATE TRIGGER jobs_tell_change AFTER UPDATE ON jobs
    FOR EACH ROW WHEN (
        (OLD.state, OLD.step, OLD.progress, OLD.stage, OLD.priority, OLD.summary, OLD.cancel_requested, OLD.content_hash)
        IS DISTINCT FROM
        (NEW.state, NEW.step, NEW.progress, NEW.stage, NEW.priority, NEW.summary, NEW.cancel_requested, NEW.content_hash)
    ) EXECUTE FUNCTION jobs_tell();
CREATE TRIGGER jobs_tell_others AFTER INSERT OR DELETE ON jobs FOR EACH ROW EXECUTE FUNCTION jobs_tell();

-- How far a change feed was followed.
CREATE TABLE cursors (
    name text PRIMARY KEY,
    position bigint NOT NULL,
    moved_at timestamptz NOT NULL DEFAULT now()
);
