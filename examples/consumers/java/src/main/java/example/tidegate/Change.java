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

    static Change of(JsonNode json) {
        JsonNode cause = json.get("cause");
        return new Change(
                json.get("segment_id").textValue(),
                json.get("contact_id").textValue(),
                json.get("member").booleanValue(),
                new Version(json.get("at").longValue(), json.get("offset").longValue()),
                cause.get("kind").textValue(),
                cause.get("index").intValue(),
                cause.get("count").intValue());
    }

    /** Whether this is the last of the changes that one cause made to the contact: now its new state is whole. */
    boolean completesItsCause() {
        return index == count - 1;
    }
}
