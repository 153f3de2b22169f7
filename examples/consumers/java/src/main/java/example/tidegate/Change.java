package example.tidegate;

import com.fasterxml.jackson.databind.JsonNode;

/** One membership change: a contact entered or left a segment. */
record Change(String segmentId, String contactId, boolean entered, Version version, String cause, int index, int count) {

    /**
     * When it happened in the log: the instant, then the record that caused it. Of one contact and segment, a later
     * change has a greater version, and a repeated one has the same.
     */
    record Version(long at, long offset) implements Comparable<Version> {
        @Override
        public int compareTo(Version other) {
            int byInstant = Long.compare(at, other.at);
            return byInstant != 0 ? byInstant : Long.compare(offset, other.offset);
        }
    }

    /**
     * The change that a record tells.
     *
     * @throws IllegalArgumentException if it tells none
     */
    static Change of(JsonNode json) {
        JsonNode cause = json.required("cause");
        return new Change(
                json.required("segment_id").textValue(),
                json.required("contact_id").textValue(),
                json.required("member").booleanValue(),
                new Version(json.required("at").longValue(), json.required("offset").longValue()),
                cause.required("kind").textValue(),
                cause.required("index").intValue(),
                cause.required("count").intValue());
    }

    /** Whether this is the last of the changes that one cause made to the contact: now its new state is whole. */
    boolean completesItsCause() {
        return index == count - 1;
    }
}
