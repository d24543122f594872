# What `scripts/kafka/cluster DIR new N secure` adds; sourced by it.
#
# Brokers take SASL over TLS alone: PLAIN and SCRAM-SHA-256. DIR/ca.pem is the certificate to trust. Users, each with the password
# `NAME-secret`:
#
#   admin       may do everything
#   jobbers     has the rights that jobbers-kafka needs, on topics and groups that start with `jobbers`; may create topics
#   no-create   the same, but may not create topics
#   no-write    the same, but may not write to topics
#   no-read     the same, but may not read topics
#   no-group    the same, but may not use groups
#   nobody      has no rights
users=(admin jobbers no-create no-write no-read no-group nobody)

# A key for the nodes, and its certificate for those who connect. It is good for tests alone: its password is known.
certificates() {
    local tool
    tool=$(dirname "$(readlink -f "$(command -v "$java")")")/keytool
    "$tool" -genkeypair -alias node -keyalg EC -groupname secp256r1 -validity 3650 -dname CN=jobbers-test -ext bc:c=ca:true \
        -ext san=ip:127.0.0.1,dns:localhost -storetype PKCS12 -keystore "$dir/node.p12" -storepass secret >/dev/null 2>&1 ||
        fail "keytool of $java makes no key"
    "$tool" -exportcert -rfc -alias node -keystore "$dir/node.p12" -storepass secret >"$dir/ca.pem" 2>/dev/null
}

secure_properties() {
    local plain=org.apache.kafka.common.security.plain.PlainLoginModule scram=org.apache.kafka.common.security.scram.ScramLoginModule user all=
    for user in "${users[@]}"; do all+=" user_$user=\"$user-secret\""; done
    cat <<END
listener.security.protocol.map=BROKER:SASL_SSL,CONTROLLER:PLAINTEXT
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256
sasl.mechanism.inter.broker.protocol=PLAIN
listener.name.broker.plain.sasl.jaas.config=$plain required username="admin" password="admin-secret"$all;
listener.name.broker.scram-sha-256.sasl.jaas.config=$scram required;
ssl.keystore.type=PKCS12
ssl.keystore.location=$dir/node.p12
ssl.keystore.password=secret
ssl.truststore.type=PEM
ssl.truststore.location=$dir/ca.pem
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
# Controllers talk to each other without a name.
super.users=User:admin;User:ANONYMOUS
END
}

# Options of the formatter: it puts those users into the first metadata.
scram_users() {
    local user
    for user in "${users[@]}"; do printf -- '--add-scram SCRAM-SHA-256=[name=%s,password=%s-secret] ' "$user" "$user"; done
}

# Rights are set by the tools of Kafka, one call for each kind of thing, all at once.
give_rights() {
    local tools config=$dir/admin.properties user rights calls=() call
    tools=$("${JOBBERS_KAFKA_TOOLS:?fetches the tools; use the program that scripts/services exports}") || exit 1
    cat >"$config" <<END
security.protocol=SASL_SSL
sasl.mechanism=PLAIN
sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required username="admin" password="admin-secret";
ssl.truststore.type=PEM
ssl.truststore.location=$dir/ca.pem
END
    grant() {
        "$java" "${jvm[@]}" -cp "$tools/*" org.apache.kafka.tools.AclCommand --bootstrap-server "$(brokers)" --command-config "$config" \
            --add --resource-pattern-type prefixed "$@" >"$dir/rights.$RANDOM$RANDOM" 2>&1 &
        calls+=($!)
    }
    allow() {
        local right words=()
        for right in $1; do words+=(--operation "$right"); done
        shift
        for user in "$@"; do words+=(--allow-principal "User:$user"); done
        printf '%s\n' "${words[@]}"
    }
    # Reading and writing bring the right to describe with them.
    mapfile -t rights < <(allow Read jobbers no-create no-write no-group)
    grant "${rights[@]}" --topic jobbers
    mapfile -t rights < <(allow Write jobbers no-create no-read no-group)
    grant "${rights[@]}" --topic jobbers
    mapfile -t rights < <(allow Create jobbers no-write no-read no-group)
    grant "${rights[@]}" --topic jobbers
    mapfile -t rights < <(allow 'Describe DescribeConfigs' jobbers no-create no-write no-read no-group)
    grant "${rights[@]}" --topic jobbers
    mapfile -t rights < <(allow Read jobbers no-create no-write no-read)
    grant "${rights[@]}" --group jobbers
    for call in "${calls[@]}"; do wait "$call" || { cat "$dir"/rights.* >&2; fail "can not set the rights of $dir"; }; done
}
