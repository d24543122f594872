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
#   no-settings the same, but may not ask for the settings of topics
#   elsewhere   may write to topics that start with `elsewhere`, but not to those that start with `jobbers`
#   nobody      has no rights
users=(admin jobbers no-create no-write no-read no-group no-settings elsewhere nobody)

# Doors: nobody can put a port of his own into answers that are encrypted. So the broker of a cluster of one listens at one more port for each
# door, and tells whoever comes by it that the door's own port is where it is: a test's proxy listens there. DIR/doors names both ports of
# each: BEHIND:OWN,BEHIND:OWN.
doors_count=6
doors() {
    local number behind own all=() login
    login=$(plain_login)
    door_listeners='' door_advertised='' door_protocols='' door_logins=''
    for ((number = 1; number <= doors_count; number++)); do
        behind=$(free_port) own=$(free_port)
        all+=("$behind:$own")
        door_listeners+=",DOOR$number://127.0.0.1:$behind" door_advertised+=",DOOR$number://127.0.0.1:$own" door_protocols+=",DOOR$number:SASL_SSL"
        door_logins+="listener.name.door$number.plain.sasl.jaas.config=$login"$'\n'"listener.name.door$number.scram-sha-256.sasl.jaas.config=$scram_login"$'\n'
    done
    (IFS=,; echo "${all[*]}") >"$dir/doors"
}

# A key for the nodes, and its certificate for those who connect. It is good for tests alone: its password is known.
certificates() {
    local tool
    tool=$(dirname "$(readlink -f "$(command -v "$java")")")/keytool
    "$tool" -genkeypair -alias node -keyalg EC -groupname secp256r1 -validity 3650 -dname CN=jobbers-test -ext bc:c=ca:true \
        -ext san=ip:127.0.0.1,dns:localhost -storetype PKCS12 -keystore "$dir/node.p12" -storepass secret >/dev/null 2>&1 ||
        fail "keytool of $java makes no key"
    "$tool" -exportcert -rfc -alias node -keystore "$dir/node.p12" -storepass secret >"$dir/ca.pem" 2>/dev/null
}

plain_login() {
    local user all=
    for user in "${users[@]}"; do all+=" user_$user=\"$user-secret\""; done
    echo "org.apache.kafka.common.security.plain.PlainLoginModule required username=\"admin\" password=\"admin-secret\"$all;"
}
scram_login='org.apache.kafka.common.security.scram.ScramLoginModule required;'

secure_properties() {
    cat <<END
listener.security.protocol.map=BROKER:SASL_SSL,CONTROLLER:PLAINTEXT${door_protocols-}
${door_logins-}
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256
sasl.mechanism.inter.broker.protocol=PLAIN
listener.name.broker.plain.sasl.jaas.config=$(plain_login)
listener.name.broker.scram-sha-256.sasl.jaas.config=$scram_login
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
    acls() {
        tool "$tools" org.apache.kafka.tools.AclCommand --bootstrap-server "$(brokers)" --command-config "$config" "$@" >"$dir/rights.$RANDOM$RANDOM" 2>&1
    }
    # Those that are run at once would each make the archive that the others wait for.
    [ -e "$tools/classes.jsa" ] || acls --list
    grant() {
        acls --add --resource-pattern-type prefixed "$@" &
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
    mapfile -t rights < <(allow Read jobbers no-create no-write no-group no-settings elsewhere)
    grant "${rights[@]}" --topic jobbers
    mapfile -t rights < <(allow Write jobbers no-create no-read no-group no-settings)
    grant "${rights[@]}" --topic jobbers
    mapfile -t rights < <(allow Write elsewhere)
    grant "${rights[@]}" --topic elsewhere
    mapfile -t rights < <(allow Create jobbers no-write no-read no-group no-settings elsewhere)
    grant "${rights[@]}" --topic jobbers
    mapfile -t rights < <(allow 'Describe DescribeConfigs' jobbers no-create no-write no-read no-group elsewhere)
    grant "${rights[@]}" --topic jobbers
    mapfile -t rights < <(allow Read jobbers no-create no-write no-read no-settings elsewhere)
    grant "${rights[@]}" --group jobbers
    for call in "${calls[@]}"; do wait "$call" || { cat "$dir"/rights.* >&2; fail "can not set the rights of $dir"; }; done
}
