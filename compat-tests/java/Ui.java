import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ExecutionException;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.DescribeClusterOptions;
import org.apache.kafka.clients.admin.DescribeConfigsOptions;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.GroupState;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.acl.AclBindingFilter;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.SecurityDisabledException;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;
import org.apache.kafka.common.errors.UnsupportedVersionException;
import org.apache.kafka.common.quota.ClientQuotaFilter;

/** What Kafbat's UI asks a cluster, in its order: as it connects, every 30 seconds, and as somebody clicks. */
class Ui {
    static void addTo(Map<String, Scenarios.Scenario> scenarios) {
        scenarios.put("calls_of_a_user_interface", Ui::callsOfAUserInterface);
    }

    static void callsOfAUserInterface() throws Exception {
        String topic = Scenarios.create("ui", 2, Map.of("retention.ms", "3600000"));
        String group = Scenarios.fresh("ui-group");
        Scenarios.produce(topic, Scenarios.numbers(0, 10));
        var place = new TopicPartition(topic, 0);
        try (var consumer = Scenarios.consumer(group)) {
            consumer.assign(List.of(place));
            consumer.commitSync(Map.of(place, new OffsetAndMetadata(4)));
        }
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", Scenarios.bootstrap))) {
            int broker = connect(admin);
            look(admin, broker, topic, group);
            click(admin, topic, group);
        }
    }

    /** As it connects: which cluster is this, what can it do. Answers the broker's id. */
    static int connect(Admin admin) throws Exception {
        var cluster = admin.describeCluster(new DescribeClusterOptions().includeAuthorizedOperations(true));
        check(!cluster.clusterId().get().isEmpty(), cluster.clusterId().get());
        var controller = cluster.controller().get();
        check(controller != null && cluster.nodes().get().contains(controller), controller);
        // Nothing is to be told of rights where nobody checks them; the UI takes null and any set.
        cluster.authorizedOperations().get();
        var settings = settings(admin, new ConfigResource(ConfigResource.Type.BROKER, controller.idString()));
        for (String name : List.of("log.retention.hours", "num.partitions", "auto.create.topics.enable", "delete.topic.enable")) {
            check(settings.get(name) != null && settings.get(name).value() != null, name);
        }
        check(settings.get("node.id").isReadOnly() && !settings.get("log.retention.ms").isReadOnly(), settings);
        var features = admin.describeFeatures().featureMetadata().get();
        check(features.finalizedFeatures().containsKey("metadata.version"), features);
        try {
            admin.describeAcls(AclBindingFilter.ANY).values().get();
        } catch (ExecutionException refused) {
            // Either is how the UI learns that there are none to show.
            var cause = refused.getCause();
            check(cause instanceof SecurityDisabledException || cause instanceof UnsupportedVersionException, cause);
        }
        return controller.id();
    }

    /** Every 30 seconds: all that its pages show. */
    static void look(Admin admin, int broker, String topic, String group) throws Exception {
        var logDirs = admin.describeLogDirs(List.of(broker)).allDescriptions().get().get(broker).values();
        var sizes = logDirs.stream().flatMap(dir -> dir.replicaInfos().entrySet().stream())
            .collect(Collectors.toMap(Map.Entry::getKey, entry -> entry.getValue().size()));
        check(sizes.get(new TopicPartition(topic, 0)) > 0 && sizes.get(new TopicPartition(topic, 1)) == 0, sizes);
        var listed = admin.listTopics().names().get();
        check(listed.contains(topic), listed);
        var described = admin.describeTopics(listed).allTopicNames().get();
        check(described.keySet().equals(listed), described.keySet());
        for (var partition : described.get(topic).partitions()) {
            check(partition.leader().id() == broker && partition.isr().equals(partition.replicas()), partition);
        }
        var own = settings(admin, new ConfigResource(ConfigResource.Type.TOPIC, topic));
        check(own.get("retention.ms").value().equals("3600000"), own.get("retention.ms"));
        check(own.get("retention.ms").source() == ConfigEntry.ConfigSource.DYNAMIC_TOPIC_CONFIG, own.get("retention.ms"));
        check(own.get("segment.bytes").isDefault() && own.get("segment.bytes").documentation() != null, own.get("segment.bytes"));
        check(offsets(admin, topic, OffsetSpec.earliest()).equals(List.of(0L, 0L)), "earliest");
        check(offsets(admin, topic, OffsetSpec.latest()).equals(List.of(10L, 0L)), "latest");
        var groups = admin.listGroups().all().get();
        check(groups.stream().anyMatch(found -> found.groupId().equals(group)), groups);
        var state = admin.describeConsumerGroups(List.of(group)).all().get().get(group);
        check(state.groupState() == GroupState.EMPTY && state.coordinator().id() == broker, state);
        var committed = admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get();
        check(committed.get(new TopicPartition(topic, 0)).offset() == 4, committed);
        try {
            var quorum = admin.describeMetadataQuorum().quorumInfo().get();
            check(quorum.voters().stream().anyMatch(voter -> voter.replicaId() == quorum.leaderId()), quorum);
        } catch (ExecutionException refused) {
            // Any other error would show the cluster as offline.
            check(refused.getCause() instanceof UnsupportedVersionException, refused.getCause());
        }
    }

    /** As somebody clicks. */
    static void click(Admin admin, String topic, String group) throws Exception {
        var place = new TopicPartition(topic, 0);
        var producers = admin.describeProducers(List.of(place)).all().get().get(place).activeProducers();
        check(producers.size() == 1 && producers.get(0).lastSequence() == 9, producers);
        check(admin.describeClientQuotas(ClientQuotaFilter.all()).entities().get().isEmpty(), "quotas");
        admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(3))).all().get();
        check(offsets(admin, topic, OffsetSpec.latest()).equals(List.of(10L, 0L, 0L)), "a third partition");
        var resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        admin.incrementalAlterConfigs(Map.of(resource, List.of(
            new AlterConfigOp(new ConfigEntry("retention.ms", null), AlterConfigOp.OpType.DELETE),
            new AlterConfigOp(new ConfigEntry("cleanup.policy", "compact"), AlterConfigOp.OpType.APPEND)))).all().get();
        var own = settings(admin, resource);
        check(own.get("cleanup.policy").value().equals("delete,compact") && own.get("retention.ms").isDefault(), own);
        // Reset of a group, and what its page shows then.
        admin.alterConsumerGroupOffsets(group, Map.of(place, new OffsetAndMetadata(7))).all().get();
        var committed = admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get();
        check(committed.get(place).offset() == 7, committed);
        admin.deleteConsumerGroups(Set.of(group)).all().get();
        check(admin.listGroups().all().get().stream().noneMatch(found -> found.groupId().equals(group)), group);
        // "Clear messages", of one partition and of all.
        var deleted = admin.deleteRecords(Map.of(place, RecordsToDelete.beforeOffset(3))).lowWatermarks();
        check(deleted.get(place).get().lowWatermark() == 3, "low watermark");
        admin.deleteRecords(Map.of(place, RecordsToDelete.beforeOffset(-1))).all().get();
        check(offsets(admin, topic, OffsetSpec.earliest()).equals(List.of(10L, 0L, 0L)), "emptied");
        admin.deleteTopics(Set.of(topic)).all().get();
        check(!admin.listTopics().names().get().contains(topic), "deleted");
        try {
            admin.describeTopics(List.of(topic)).allTopicNames().get();
            check(false, "a deleted topic is described");
        } catch (ExecutionException refused) {
            check(refused.getCause() instanceof UnknownTopicOrPartitionException, refused.getCause());
        }
    }

    static Map<String, ConfigEntry> settings(Admin admin, ConfigResource resource) throws Exception {
        var options = new DescribeConfigsOptions().includeSynonyms(true).includeDocumentation(true);
        var entries = admin.describeConfigs(List.of(resource), options).all().get().get(resource).entries();
        check(new HashSet<>(entries).size() == entries.size(), entries);
        return entries.stream().collect(Collectors.toMap(ConfigEntry::name, entry -> entry));
    }

    /** By partition. */
    static List<Long> offsets(Admin admin, String topic, OffsetSpec spec) throws Exception {
        var partitions = admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic).partitions();
        var wanted = partitions.stream().collect(Collectors.toMap(found -> new TopicPartition(topic, found.partition()), found -> spec));
        var found = admin.listOffsets(wanted).all().get();
        return partitions.stream().map(partition -> found.get(new TopicPartition(topic, partition.partition())).offset()).toList();
    }

    static void check(boolean holds, Object seen) {
        Scenarios.check(holds, seen);
    }
}
